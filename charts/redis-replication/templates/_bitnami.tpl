{{/*
What Bitnami's chart can be told and this one can't, and what to do instead. A key that is off or empty does no harm and
is let in, so that a file of values needs few edits. values.schema.json lets these keys through to here.
*/}}
{{- define "redis.notHere" -}}
global.redis.password: "use auth.password"
sentinel.enabled: "there is no Sentinel; the operator fails over, and clients use the Service of the master"
auth.acl.enabled: "users other than `default` are not offered yet"
auth.usePasswordFiles: "the password is in no environment variable anyway; remove it"
tls.enabled: "TLS is not offered yet"
metrics.serviceMonitor.enabled: "use metrics.podMonitor of the chart redis-replication-operator"
metrics.podMonitor.enabled: "use metrics.podMonitor of the chart redis-replication-operator"
metrics.prometheusRule.enabled: "use metrics.prometheusRule of the chart redis-replication-operator"
metrics.service.annotations: "the Service <name>-headless has the port metrics"
metrics.redisTargetHost: "the exporter speaks to the Redis of its own pod; remove it"
metrics.containerPorts: "the exporter listens on 9121; remove it"
metrics.podLabels: "use podLabels"
metrics.podAnnotations: "use podAnnotations"
metrics.resourcesPreset: "use metrics.resources"
{{- range list "command" "args" "extraArgs" "extraEnvVars" "extraVolumes" "extraVolumeMounts" "podSecurityContext" "containerSecurityContext" "startupProbe" "livenessProbe" "readinessProbe" }}
metrics.{{ . }}: "use podOverrides; the container is called metrics"
{{- end }}
networkPolicy.enabled: "use networkPolicy of the chart redis-replication-operator"
volumePermissions.enabled: "volumes are made writable by fsGroup; remove it"
sysctl.enabled: "set kernel parameters on the nodes"
existingConfigmap: "use config or commonConfiguration"
extraDeploy: "apply them beside the chart"
pdb: "the operator makes a PodDisruptionBudget by itself"
kubeVersion: "remove it"
clusterDomain: "no address is made from it; remove it"
{{- range $role := list "master" "replica" }}
{{ $role }}.configuration: "any member may become master; use config or commonConfiguration"
{{ $role }}.disableCommands: "rename-command is the operator's; remove it"
{{- range list "persistence" "resources" "nodeSelector" "affinity" "tolerations" "topologySpreadConstraints" "priorityClassName" "podLabels" "podAnnotations" "serviceAccount" }}
{{ $role }}.{{ . }}: "any member may become master, so all are alike; use {{ . }} without {{ $role }}"
{{- end }}
{{- range list "command" "args" "extraFlags" "extraEnvVars" "extraVolumes" "extraVolumeMounts" "initContainers" "sidecars" "lifecycleHooks" "podSecurityContext" "containerSecurityContext" "startupProbe" "livenessProbe" "readinessProbe" "hostAliases" "dnsConfig" "dnsPolicy" "schedulerName" "terminationGracePeriodSeconds" "shareProcessNamespace" "podAffinityPreset" "podAntiAffinityPreset" "nodeAffinityPreset" }}
{{ $role }}.{{ . }}: "use podOverrides"
{{- end }}
{{ $role }}.updateStrategy: "pods are replaced one by one, the master last; remove it"
{{ $role }}.persistentVolumeClaimRetentionPolicy: "use persistence.whenDeleted and persistence.whenScaled"
{{ $role }}.containerPorts: "the pods listen on 6379; use {{ $role }}.service.ports.redis"
{{- range list "loadBalancerIP" "loadBalancerClass" "loadBalancerSourceRanges" "clusterIP" "externalIPs" "externalTrafficPolicy" "internalTrafficPolicy" "sessionAffinity" "extraPorts" }}
{{ $role }}.service.{{ . }}: "use {{ $role }}.service.annotations, or a Service of your own that selects the role's label"
{{- end }}
{{- end }}
master.count: "there is one master; remove it"
master.kind: "the operator makes a StatefulSet; remove it"
replica.kind: "the operator makes a StatefulSet; remove it"
replica.autoscaling.enabled: "point a HorizontalPodAutoscaler at the RedisReplication, which has the scale subresource"
replica.externalMaster.enabled: "the operator makes the master; move the data instead"
persistence.existingClaim: "every member has a volume of its own; remove it"
persistence.accessModes: "volumes are ReadWriteOnce; remove it"
{{- end -}}

{{- define "redis.bitnami" -}}
{{- range $key, $instead := include "redis.notHere" . | fromYaml -}}
{{- $value := $.Values -}}
{{- range splitList "." $key -}}
{{- $value = get (kindIs "map" $value | ternary $value dict) . -}}
{{- end -}}
{{- if $value -}}
{{- fail (printf "%s: %s" $key $instead) -}}
{{- end -}}
{{- end -}}
{{- if not .Values.auth.enabled -}}
{{- fail "auth.enabled: a RedisReplication always has a password; leave it true, and let clients read the Secret" -}}
{{- end -}}
{{- if and .Values.auth.password .Values.auth.existingSecret -}}
{{- fail "auth.password, auth.existingSecret: one of them" -}}
{{- end -}}
{{- end -}}

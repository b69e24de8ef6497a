{{- define "rro.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* The name of all objects: the release's, with the chart's behind it unless it is in it. 52 characters at most, which leaves room for endings. */}}
{{- define "rro.fullname" -}}
{{- $name := include "rro.name" . -}}
{{- $full := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) -}}
{{- default $full .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- end -}}

{{- define "rro.selectorLabels" -}}
app.kubernetes.io/name: {{ include "rro.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "rro.labels" -}}
{{ include "rro.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "rro.serviceAccountName" -}}
{{- default (ternary (include "rro.fullname" .) "default" .Values.serviceAccount.create) .Values.serviceAccount.name -}}
{{- end -}}

{{- define "rro.image" -}}
{{- with default .Values.global.imageRegistry .Values.image.registry }}{{ . }}/{{ end -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}

{{/* The Secret with the certificate of the metrics' port; empty where there is none. */}}
{{- define "rro.certificateSecret" -}}
{{- if .Values.metrics.authentication.enabled }}{{ .Values.metrics.authentication.certificateSecret }}{{ end -}}
{{- end -}}

{{/* Of objects that belong to no namespace: an operator for one namespace is not the only one of its name. */}}
{{- define "rro.clusterName" -}}
{{- if .Values.watchNamespace }}{{ .Release.Namespace }}-{{ end }}{{ include "rro.fullname" . -}}
{{- end -}}

{{- define "rro.subject" -}}
kind: ServiceAccount
name: {{ include "rro.serviceAccountName" . }}
namespace: {{ .Release.Namespace }}
{{- end -}}

{{/* What the operator may do in the namespaces that it looks after: in a ClusterRole for all, in a Role for one. */}}
{{- define "rro.rules" -}}
# What people want. The operator never deletes it, and changes nothing in it but this: a request by annotation
# (switchover-to, force-failover) is taken off when it has been dealt with.
- apiGroups: [redis.replication.dev]
  resources: [redisreplications]
  verbs: [get, list, watch, patch]
# What the operator knows and has decided: server-side apply is a patch.
- apiGroups: [redis.replication.dev]
  resources: [redisreplications/status]
  verbs: [patch]
# Owner references with blockOwnerDeletion, where the API server checks them (OwnerReferencesPermissionEnforcement, OpenShift).
- apiGroups: [redis.replication.dev]
  resources: [redisreplications/finalizers]
  verbs: [update]
# The objects of each RedisReplication, kept as they should be. Deleting them is the garbage collector's work.
- apiGroups: [apps]
  resources: [statefulsets]
  verbs: [list, watch, create, patch]
- apiGroups: [""]
  resources: [services]
  verbs: [list, watch, create, patch]
# The settings and scripts of the pods. Settings are never changed: another revision has others, and those that no pod reads any
# more are deleted.
- apiGroups: [""]
  resources: [configmaps]
  verbs: [list, watch, create, patch, delete]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [list, watch, create, patch]
# The password: one Secret is read by its name, every few seconds, and made when there is none. Never listed, watched or changed:
# those rights could not be limited to the operator's own Secrets.
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, create]
# The members: watched, labelled with their role, and replaced one by one in a rolling update (or when one hangs).
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch, patch, delete]
# Which members have a volume, and so may hold data while their pod is gone.
- apiGroups: [""]
  resources: [persistentvolumeclaims]
  verbs: [list, watch]
# When kube-proxy last had something to do: a planned switchover waits until it is free again. The master Service's slice is
# written a moment before its controller does, or instead of it (services.masterRouting: EndpointSlice); what the controllers
# wrote is removed then.
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices]
  verbs: [list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [endpoints]
  verbs: [delete]
# Whether the namespace is being deleted: then a leaving master has nobody to wait for.
- apiGroups: [""]
  resources: [namespaces]
  verbs: [get]
# What `kubectl describe` shows: what was done, and why something waits. And what Kubernetes tells in events only (a quota, a
# volume that cannot be mounted): of a pod that is not made or does not start, its own and those of its claim and its
# StatefulSet are read, so that the status says why.
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, list]
{{- end -}}

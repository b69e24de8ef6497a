{{- define "redis.name" -}}
{{- default "redis" .Values.nameOverride -}}
{{- end -}}

{{/* The name of the RedisReplication. As with Bitnami's chart, so that the Services keep their names: the release's name, with "redis" behind it unless it is in it. */}}
{{- define "redis.fullname" -}}
{{- $name := include "redis.name" . -}}
{{- $full := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) -}}
{{- $full = default $full .Values.fullnameOverride -}}
{{- if or (gt (len $full) 40) (not (regexMatch "^[a-z]([-a-z0-9]*[a-z0-9])?$" $full)) -}}
{{- fail (printf "the name %q can't be used: 40 characters at most, lower-case letters, digits and '-', beginning with a letter; set fullnameOverride" $full) -}}
{{- end -}}
{{- $full -}}
{{- end -}}

{{- define "redis.labels" -}}
{{- $own := dict "app.kubernetes.io/name" (include "redis.name" .) "app.kubernetes.io/instance" .Release.Name "app.kubernetes.io/managed-by" .Release.Service "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_") -}}
{{- mergeOverwrite (deepCopy .Values.commonLabels) $own | toYaml -}}
{{- end -}}

{{- define "redis.image" -}}
{{- $image := .Values.image -}}
{{- $registry := default $image.registry .Values.global.imageRegistry -}}
{{- with $registry }}{{ . }}/{{ end }}{{ $image.repository }}
{{- if $image.digest }}@{{ $image.digest }}{{ else }}:{{ default .Chart.AppVersion $image.tag }}{{ end -}}
{{- end -}}

{{- define "redis.exporterImage" -}}
{{- $image := .Values.metrics.image -}}
{{- with default $image.registry .Values.global.imageRegistry }}{{ . }}/{{ end }}{{ $image.repository }}:{{ $image.tag }}
{{- end -}}

{{/* As Bitnami's chart has them, names; as Kubernetes has them, objects with a name: both will do. */}}
{{- define "redis.pullSecrets" -}}
{{- $all := list -}}
{{- range concat .Values.global.imagePullSecrets .Values.image.pullSecrets -}}
{{- $all = append $all (ternary . (dict "name" .) (kindIs "map" .)) -}}
{{- end -}}
{{- with uniq $all }}{{ toYaml . }}{{ end -}}
{{- end -}}

{{- define "redis.replicas" -}}
{{- ternary 1 (add1 (int .Values.replica.replicaCount)) (eq .Values.architecture "standalone") -}}
{{- end -}}

{{/* Where the password is. */}}
{{- define "redis.secretName" -}}
{{- if .Values.auth.existingSecret }}{{ .Values.auth.existingSecret }}{{ else if .Values.auth.password }}{{ include "redis.fullname" . }}{{ else }}{{ include "redis.fullname" . }}-auth{{ end -}}
{{- end -}}
{{- define "redis.secretKey" -}}
{{- if .Values.auth.existingSecret }}{{ .Values.auth.existingSecretPasswordKey }}{{ else if .Values.auth.password }}redis-password{{ else }}password{{ end -}}
{{- end -}}

{{/* A number as a person would write it; Helm reads all of them as floating point. */}}
{{- define "redis.text" -}}
{{- if not (kindIs "float64" .) }}{{ . }}{{ else if eq (float64 (int64 .)) . }}{{ int64 . }}{{ else }}{{ . }}{{ end -}}
{{- end -}}

{{/* The given resources. The API takes quantities as text or whole numbers only. */}}
{{- define "redis.resources" -}}
{{- $resources := deepCopy . -}}
{{- range $kind := list "requests" "limits" -}}
{{- range $name, $quantity := get $resources $kind | default dict -}}
{{- $_ := set (get $resources $kind) $name (include "redis.text" $quantity) -}}
{{- end -}}
{{- end -}}
{{- with $resources }}{{ toYaml . }}{{ end -}}
{{- end -}}

{{/* redis.conf: the lines of commonConfiguration, a directive that is given several times with one value on each line; then config. */}}
{{- define "redis.config" -}}
{{- $config := dict -}}
{{- range splitList "\n" .Values.commonConfiguration -}}
{{- $line := trim . -}}
{{- if and $line (not (hasPrefix "#" $line)) -}}
{{- $words := regexSplit "[ \t]+" $line 2 -}}
{{- $directive := lower (first $words) -}}
{{- $value := trim (default "" (index (append $words "") 1)) -}}
{{- $config = set $config $directive (ternary (printf "%s\n%s" (get $config $directive) $value) $value (hasKey $config $directive)) -}}
{{- end -}}
{{- end -}}
{{- range $directive, $value := .Values.config -}}
{{- $config = set $config (lower $directive) (include "redis.text" $value) -}}
{{- end -}}
{{- range $directive, $instead := dict "appendonly" "persistence.mode" "save" "persistence.mode" "requirepass" "auth.password" "masterauth" "auth.password" "port" "master.service.ports.redis" "replicaof" "nothing: the operator decides who is master" -}}
{{- if hasKey $config $directive -}}
{{- fail (printf "config: %s is the operator's; use %s instead" $directive $instead) -}}
{{- end -}}
{{- end -}}
{{- with $config }}{{ toYaml . }}{{ end -}}
{{- end -}}

{{- define "redis.service" -}}
type: {{ .type }}
port: {{ .ports.redis }}
{{- if .nodePorts.redis }}
nodePort: {{ .nodePorts.redis }}
{{- end }}
{{- with .annotations }}
annotations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

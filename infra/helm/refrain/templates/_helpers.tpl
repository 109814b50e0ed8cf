{{- define "refrain.name" -}}
{{- if contains "refrain" .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{ else }}{{ printf "%s-refrain" .Release.Name | trunc 40 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "refrain.selector" -}}
app.kubernetes.io/name: refrain
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "refrain.labels" -}}
{{ include "refrain.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "refrain.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{/* The user of a role, as `refrain topics acls` names it: (list root role). */}}
{{- define "refrain.user" -}}
{{- $root := index . 0 -}}
{{- $stem := regexReplaceAll "[._-]+$" $root.Values.prefix "" -}}
{{- if $stem }}{{ $stem }}-{{ end }}{{ index . 1 }}
{{- end }}

{{/* The whole name of a topic, of which that of requests may be another: (list root name). */}}
{{- define "refrain.topic" -}}
{{- $root := index . 0 -}}
{{- $name := index . 1 -}}
{{- if eq $name "requests" }}{{ $name = dig "classify" "topic" "requests" $root.Values.settings }}{{ end -}}
{{ $root.Values.prefix }}{{ $name }}
{{- end }}

{{/* The processors that run, with their values, as JSON: those of `processors`, and the endpoint where it is asked for. */}}
{{- define "refrain.workers" -}}
{{- $workers := deepCopy .Values.processors -}}
{{- if .Values.edge.enabled }}{{ $_ := set $workers "edge" .Values.edge }}{{ end -}}
{{ toJson $workers }}
{{- end }}

{{/* Settings of the endpoint that stand in `settings`. */}}
{{- define "refrain.edge.settings" -}}
{{- dig "edge" dict .Values.settings | default dict | toJson }}
{{- end }}

{{/* Whether the endpoint takes keys of `edge.keysSecret`; with `settings.edge.auth` of jwt it takes tokens alone. */}}
{{- define "refrain.edge.keyed" -}}
{{- if ne (dig "auth" "keys" (include "refrain.edge.settings" . | fromJson)) "jwt" }}yes{{ end }}
{{- end }}

{{/* Whether the keys of tokens come from a file, of `edge.jwks`. */}}
{{- define "refrain.edge.jwks" -}}
{{- if or .Values.edge.jwks.configMap .Values.edge.jwks.secret }}yes{{ end }}
{{- end }}

{{/* Whether the endpoint asks an identity provider: for the keys of tokens, and where they are. */}}
{{- define "refrain.edge.asks" -}}
{{- if and (dig "jwt" "issuer" "" .Values.settings) (not (include "refrain.edge.jwks" .)) }}yes{{ end }}
{{- end }}

{{- define "refrain.edge.checked" -}}
{{- $own := include "refrain.edge.settings" . | fromJson -}}
{{- if .Values.edge.enabled -}}
{{- $jwt := dig "jwt" dict .Values.settings | default dict -}}
{{- if hasKey $jwt "jwks_file" }}{{ fail "settings.jwt.jwks_file: no file of yours is in the pods; name a ConfigMap or a Secret that has it, by edge.jwks" }}{{ end -}}
{{- if include "refrain.edge.jwks" . -}}
{{- if and .Values.edge.jwks.configMap .Values.edge.jwks.secret }}{{ fail "edge.jwks: name a ConfigMap or a Secret, not both" }}{{ end -}}
{{- if not (dig "issuer" "" $jwt) }}{{ fail "edge.jwks: its keys verify tokens of settings.jwt.issuer; set that too" }}{{ end -}}
{{- if dig "jwks_url" "" $jwt }}{{ fail "settings.jwt.jwks_url: the keys come from edge.jwks; leave one of them out" }}{{ end -}}
{{- end -}}
{{- if include "refrain.edge.keyed" . -}}
{{- $_ := required "edge.keysSecret.name: name the Secret with the file of keys that `refrain edge keys add` makes" .Values.edge.keysSecret.name -}}
{{- $_ := required "edge.pepperSecret.name: name the Secret with the pepper of the keys: every replica needs the same" .Values.edge.pepperSecret.name -}}
{{- if ne (dig "auth" "keys" $own) "keys" }}{{ fail "settings.edge.auth: whoever reaches the Service could ask at your cost; leave it at keys, or set it to jwt" }}{{ end -}}
{{- end -}}
{{- range list "host" "port" "keys_file" "pepper" "pepper_file" -}}
{{- if hasKey $own . }}{{ fail (printf "settings.edge.%s: the chart sets it, by the values below edge" .) }}{{ end -}}
{{- end -}}
{{- if and .Values.networkPolicy.enabled (ne .Values.edge.service.type "ClusterIP") (not .Values.edge.from) }}{{ fail (printf "edge.from: say who may come from outside to a %s, such as [{ipBlock: {cidr: 10.0.0.0/8}}]" .Values.edge.service.type) }}{{ end -}}
{{- else if dig "enabled" false $own }}{{ fail "settings.edge.enabled: it is of `refrain run all`; set edge.enabled" }}{{ end -}}
{{- end }}

{{/* Whether a processor signs or checks whose requests are, with keys of `tenants.keysSecret`: (list root role). */}}
{{- define "refrain.tenants" -}}
{{- $root := index . 0 -}}
{{- if and $root.Values.tenants.keysSecret.name (has (index . 1) (list "classify" "edge")) }}yes{{ end }}
{{- end }}

{{- define "refrain.checked" -}}
{{- $_ := required "kafka.bootstrapServers: name the brokers, such as my-cluster-kafka-bootstrap:9093" .Values.kafka.bootstrapServers -}}
{{- $_ := required "routes.keysSecret.name: name the Secret with the keys of routes, the same for every worker" .Values.routes.keysSecret.name -}}
{{- if and (or .Values.strimzi.users (eq .Values.topics.create "strimzi")) (not .Values.strimzi.cluster) }}{{ fail "strimzi.cluster: name the Kafka resource" }}{{ end -}}
{{- if and (hasPrefix "SASL" .Values.kafka.securityProtocol) (not .Values.strimzi.users) (not .Values.kafka.userSecret) }}{{ fail "kafka.userSecret: name the Secret with username and password, or set strimzi.users" }}{{ end -}}
{{- if and .Values.strimzi.users (eq .Values.strimzi.authentication "scram-sha-512") (not (hasPrefix "SASL" .Values.kafka.securityProtocol)) }}{{ fail "kafka.securityProtocol: users with scram-sha-512 need SASL_SSL or SASL_PLAINTEXT" }}{{ end -}}
{{- if and .Values.strimzi.users (eq .Values.strimzi.authentication "tls") (ne .Values.kafka.securityProtocol "SSL") }}{{ fail "kafka.securityProtocol: users with tls need SSL" }}{{ end -}}
{{- $tenants := dig "tenants" dict .Values.settings | default dict -}}
{{- if and (eq (dig "classify" "tenants" "request" .Values.settings) "header") (not .Values.tenants.keysSecret.name) (not (hasKey $tenants "keys")) }}{{ fail "tenants.keysSecret.name: name the Secret with the keys that sign x-refrain-tenant" }}{{ end -}}
{{- include "refrain.edge.checked" . -}}
{{- end }}

{{/* refrain.toml: what is the same for every worker. */}}
{{- define "refrain.settings" -}}
{{- include "refrain.checked" . -}}
{{- $connection := dict "security.protocol" .Values.kafka.securityProtocol -}}
{{- if hasPrefix "SASL" .Values.kafka.securityProtocol }}{{ $_ := set $connection "sasl.mechanism" .Values.kafka.saslMechanism }}{{ end -}}
{{- if .Values.kafka.caSecret.name }}{{ $_ := set $connection "ssl.ca.location" (printf "/run/secrets/kafka-ca/%s" .Values.kafka.caSecret.key) }}{{ end -}}
{{- $made := dict "kafka" .Values.kafka.bootstrapServers "prefix" .Values.prefix "connection" $connection -}}
{{- $_ := set $made "replication" (int .Values.topics.replication) -}}
{{- $_ := set $made "min_insync" (int .Values.topics.minInsync) -}}
{{- $_ := set $made "routes" (dict "keys_file" (printf "/run/secrets/routes/%s" .Values.routes.keysSecret.key)) -}}
{{- $upstream := dict -}}
{{- if .Values.model.baseUrl }}{{ $_ := set $upstream "base_url" .Values.model.baseUrl }}{{ else }}{{ $_ := set $upstream "connector" "simulated" }}{{ end -}}
{{- if .Values.model.apiKeySecret.name }}{{ $_ := set $upstream "api_key_file" (printf "/run/secrets/model/%s" .Values.model.apiKeySecret.key) }}{{ end -}}
{{- $_ := set $made "upstream" $upstream -}}
{{ toToml (mergeOverwrite $made (deepCopy .Values.settings)) }}
{{- end }}

{{/* What a container of a role logs in with: (list root role). */}}
{{- define "refrain.login.env" -}}
{{- $root := index . 0 -}}
{{- if hasPrefix "SASL" $root.Values.kafka.securityProtocol }}
{{- if $root.Values.strimzi.users }}
- name: REFRAIN_CONNECTION
  value: {{ dict "sasl.username" (include "refrain.user" .) "sasl.password_file" "/run/secrets/kafka/password" | toJson | quote }}
{{- else }}
- name: KAFKA_USERNAME
  valueFrom: {secretKeyRef: {name: {{ $root.Values.kafka.userSecret }}, key: username}}
- name: REFRAIN_CONNECTION
  value: {{ dict "sasl.username" "$(KAFKA_USERNAME)" "sasl.password_file" "/run/secrets/kafka/password" | toJson | quote }}
{{- end }}
{{- else if and $root.Values.strimzi.users (eq $root.Values.strimzi.authentication "tls") }}
- name: REFRAIN_CONNECTION
  value: {{ dict "ssl.certificate.location" "/run/secrets/kafka/user.crt" "ssl.key.location" "/run/secrets/kafka/user.key" | toJson | quote }}
{{- end }}
{{- end }}

{{/* The Secret that a role logs in with, if any: (list root role). */}}
{{- define "refrain.login.secret" -}}
{{- $root := index . 0 -}}
{{- if $root.Values.strimzi.users }}{{ include "refrain.user" . }}{{ else }}{{ $root.Values.kafka.userSecret }}{{ end }}
{{- end }}

{{- define "refrain.mounts" -}}
{{- $root := index . 0 -}}
- {name: settings, mountPath: /etc/refrain, readOnly: true}
- {name: routes, mountPath: /run/secrets/routes, readOnly: true}
- {name: tmp, mountPath: /tmp}
{{- if include "refrain.login.secret" . }}
- {name: kafka-user, mountPath: /run/secrets/kafka, readOnly: true}
{{- end }}
{{- if $root.Values.kafka.caSecret.name }}
- {name: kafka-ca, mountPath: /run/secrets/kafka-ca, readOnly: true}
{{- end }}
{{- if $root.Values.model.apiKeySecret.name }}
- {name: model, mountPath: /run/secrets/model, readOnly: true}
{{- end }}
{{- if include "refrain.tenants" . }}
- {name: tenants, mountPath: /run/secrets/tenants, readOnly: true}
{{- end }}
{{- if and (eq (index . 1) "edge") (include "refrain.edge.keyed" $root) }}
- {name: edge-keys, mountPath: /run/secrets/edge-keys, readOnly: true}
- {name: edge-pepper, mountPath: /run/secrets/edge-pepper, readOnly: true}
{{- end }}
{{- if and (eq (index . 1) "edge") (include "refrain.edge.jwks" $root) }}
- {name: edge-jwks, mountPath: /run/secrets/edge-jwks, readOnly: true}
{{- end }}
{{- end }}

{{/* Settings of one role alone, whose files the others do not have: (list root role). */}}
{{- define "refrain.own.env" -}}
{{- $root := index . 0 -}}
{{- if include "refrain.tenants" . }}
- {name: REFRAIN_TENANTS__KEYS_FILE, value: {{ printf "/run/secrets/tenants/%s" $root.Values.tenants.keysSecret.key | quote }}}
{{- end }}
{{- if and (eq (index . 1) "lookup") $root.Values.persistence.keepShardsMs }}
- {name: REFRAIN_LOOKUP__KEEP_SHARDS, value: "true"}
- {name: REFRAIN_SESSION_TIMEOUT_MS, value: {{ $root.Values.persistence.keepShardsMs | int64 | quote }}}
{{- end }}
{{- if eq (index . 1) "edge" }}
- {name: REFRAIN_EDGE__HOST, value: 0.0.0.0}
- {name: REFRAIN_EDGE__PORT, value: "8400"}
{{- if include "refrain.edge.keyed" $root }}
- {name: REFRAIN_EDGE__KEYS_FILE, value: {{ printf "/run/secrets/edge-keys/%s" $root.Values.edge.keysSecret.key | quote }}}
- {name: REFRAIN_EDGE__PEPPER_FILE, value: {{ printf "/run/secrets/edge-pepper/%s" $root.Values.edge.pepperSecret.key | quote }}}
{{- end }}
{{- if include "refrain.edge.jwks" $root }}
- {name: REFRAIN_JWT__JWKS_FILE, value: {{ printf "/run/secrets/edge-jwks/%s" $root.Values.edge.jwks.key | quote }}}
{{- end }}
{{- end }}
{{- end }}

{{/* How long a worker may take to leave (seconds). The endpoint is asked until the Service has forgotten it, then drains. */}}
{{- define "refrain.grace" -}}
{{- $root := index . 0 -}}
{{- $drain := dig "drain_ms" 10000 (include "refrain.edge.settings" $root | fromJson) | int -}}
{{- if eq (index . 1) "edge" }}{{ max 60 (add 15 (div (add $drain 999) 1000)) }}{{ else }}60{{ end }}
{{- end }}

{{/* Volumes of a role, with the settings of a ConfigMap: (list root role configmap). */}}
{{- define "refrain.volumes" -}}
{{- $root := index . 0 -}}
- name: settings
  configMap: {name: {{ index . 2 }}}
- name: routes
  secret: {secretName: {{ $root.Values.routes.keysSecret.name }}, defaultMode: 288}
- name: tmp
  emptyDir: {sizeLimit: 64Mi}
{{- with include "refrain.login.secret" . }}
- name: kafka-user
  secret: {secretName: {{ . }}, defaultMode: 288}
{{- end }}
{{- with $root.Values.kafka.caSecret.name }}
- name: kafka-ca
  secret: {secretName: {{ . }}}
{{- end }}
{{- with $root.Values.model.apiKeySecret.name }}
- name: model
  secret: {secretName: {{ . }}, defaultMode: 288}
{{- end }}
{{- if include "refrain.tenants" . }}
- name: tenants
  secret: {secretName: {{ $root.Values.tenants.keysSecret.name }}, defaultMode: 288}
{{- end }}
{{- if and (eq (index . 1) "edge") (include "refrain.edge.keyed" $root) }}
{{- range $name, $secret := dict "edge-keys" $root.Values.edge.keysSecret "edge-pepper" $root.Values.edge.pepperSecret }}
- name: {{ $name }}
  secret:
    secretName: {{ $secret.name }}
    defaultMode: 288
    # A pod whose Secret lacks the key does not start: it would let nobody in.
    items: [{key: {{ $secret.key | quote }}, path: {{ $secret.key | quote }}}]
{{- end }}
{{- end }}
{{- if and (eq (index . 1) "edge") (include "refrain.edge.jwks" $root) }}
{{- $jwks := $root.Values.edge.jwks }}
- name: edge-jwks
  {{- if $jwks.configMap }}
  configMap:
    name: {{ $jwks.configMap }}
  {{- else }}
  secret:
    secretName: {{ $jwks.secret }}
  {{- end }}
    # Who changes it lets anybody in: nobody in the pod may.
    defaultMode: 288
    items: [{key: {{ $jwks.key | quote }}, path: {{ $jwks.key | quote }}}]
{{- end }}
{{- end }}

{{- define "refrain.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
# What lookup has written stays its own alone.
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "refrain.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* Spec of the pods of a processor: (list root name values). */}}
{{- define "refrain.pod" -}}
{{- $root := index . 0 -}}
{{- $name := index . 1 -}}
{{- $own := index . 2 -}}
{{- $login := list $root $name -}}
metadata:
  labels:
    {{- include "refrain.labels" $root | nindent 4 }}
    app.kubernetes.io/component: {{ $name }}
  annotations:
    checksum/settings: {{ include "refrain.settings" $root | sha256sum }}
    {{- with $root.Values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  automountServiceAccountToken: false
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ include "refrain.grace" $login }}
  securityContext:
    {{- include "refrain.podSecurity" $root | nindent 4 }}
  {{- with $root.Values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  containers:
    - name: {{ $name }}
      image: {{ include "refrain.image" $root | quote }}
      imagePullPolicy: {{ $root.Values.image.pullPolicy }}
      args: [run, {{ $name }}]
      securityContext:
        {{- include "refrain.containerSecurity" $root | nindent 8 }}
      env:
        - {name: REFRAIN_CONFIG, value: /etc/refrain/refrain.toml}
        {{- include "refrain.login.env" $login | nindent 8 }}
        {{- with include "refrain.own.env" $login | trim }}
        {{- . | nindent 8 }}
        {{- end }}
      ports:
        - {name: http, containerPort: 9100}
        {{- if eq $name "edge" }}
        - {name: openai, containerPort: 8400}
        {{- end }}
      {{- if eq $name "edge" }}
      lifecycle:
        # Clients are sent here until the Service has forgotten it.
        preStop: {exec: {command: [sleep, "5"]}}
      {{- end }}
      startupProbe:
        httpGet: {path: /healthz, port: http}
        periodSeconds: 2
        failureThreshold: 150
      livenessProbe:
        httpGet: {path: /healthz, port: http}
        periodSeconds: 10
        timeoutSeconds: 5
        failureThreshold: 3
      readinessProbe:
        httpGet: {path: /readyz, port: http}
        periodSeconds: 5
        timeoutSeconds: 5
      resources:
        {{- toYaml $own.resources | nindent 8 }}
      volumeMounts:
        {{- include "refrain.mounts" $login | nindent 8 }}
        - {name: state, mountPath: /var/lib/refrain}
  volumes:
    {{- include "refrain.volumes" (list $root $name (include "refrain.name" $root)) | nindent 4 }}
    {{- if ne $name "lookup" }}
    - name: state
      emptyDir: {sizeLimit: 2Gi}
    {{- end }}
  {{- with $root.Values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $root.Values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $root.Values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $root.Values.topologySpreadConstraints }}
  topologySpreadConstraints:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}

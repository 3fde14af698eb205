{{- define "db.image" -}}
{{- printf "%s/%s:%s" "docker.io" "acmedb/helper" "1" -}}
{{- end -}}

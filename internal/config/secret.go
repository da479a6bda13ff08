package config

import (
	"fmt"
	"net/url"
	"runtime"
	"strings"

	"github.com/ironpost/ironpost/internal/setting"
)

// maxSecret bounds the content of a file that holds a secret.
const maxSecret = 64 << 10

// secrets replaces each secret whose <key>_file is set by the content of that file.
func (l *loader) secrets(values map[string]any) {
	for _, f := range l.schema.fields {
		l.warnReadable(f, values)
		fileKey := f.key + "_file"
		if _, paired := l.schema.lookup(fileKey); !f.secret || !paired {
			continue
		}
		path, _ := values[fileKey].(string)
		switch direct, _ := values[f.key].(string); {
		case path == "":
		case direct != "":
			l.problem(fileKey, fmt.Sprintf("%s is set too (%s), set only one of them", f.key, l.origins[f.key]))
		default:
			l.secretFile(values, f, fileKey, path)
		}
	}
}

// warnReadable warns of a password in a configuration file that every user may read.
func (l *loader) warnReadable(f field, values map[string]any) {
	secret, _ := values[f.key].(string)
	if !f.secret || secret == f.redact(secret) || l.origins[f.key].Kind != FromFile || l.mode.Perm()&0o007 == 0 || runtime.GOOS == "windows" {
		return
	}
	l.warn(f.key, fmt.Sprintf("holds a password and every user may read the file (mode %04o), chmod 640 it", l.mode.Perm()))
}

// secretFile sets the value of f to the content of the file at path, without the white space around it.
func (l *loader) secretFile(values map[string]any, f field, fileKey, path string) {
	data, mode, err := readBounded(path, maxSecret)
	if err != nil {
		l.problem(fileKey, "cannot read the secret: "+err.Error())
		return
	}
	content := strings.TrimSpace(string(data))
	if content == "" {
		l.problem(fileKey, setting.Shown(path)+" is empty, must hold the secret")
		return
	}
	if mode.Perm()&0o077 != 0 && runtime.GOOS != "windows" {
		l.warn(fileKey, fmt.Sprintf("%s may be read by others (mode %04o), chmod 600 it", setting.Shown(path), mode.Perm()))
	}
	values[f.key] = content
	l.origins[f.key] = Origin{Kind: FromSecretFile, Name: path}
	l.via[f.key] = fileKey
}

// redact returns f's value without its secret part.
func (f field) redact(secret string) string {
	if f.whole && secret != "" {
		return "(hidden)"
	}
	return redact(secret)
}

// redact hides the password of a URL, or of several separated by commas, and every parameter whose name suggests a password. A text
// that is not a URL is hidden whole.
func redact(secret string) string {
	if secret == "" {
		return ""
	}
	parts := strings.Split(secret, ",")
	for i, part := range parts {
		u, err := url.Parse(strings.TrimSpace(part))
		if err != nil || u.Host == "" {
			return "(hidden)"
		}
		u.RawQuery = redactQuery(u.RawQuery)
		parts[i] = u.Redacted()
	}
	return strings.Join(parts, ",")
}

func redactQuery(raw string) string {
	query, err := url.ParseQuery(raw)
	if raw == "" || err != nil {
		return ""
	}
	for name := range query {
		lower := strings.ToLower(name)
		if strings.Contains(lower, "pass") || strings.Contains(lower, "token") || strings.Contains(lower, "secret") {
			query.Set(name, "xxxxx")
		}
	}
	return query.Encode()
}

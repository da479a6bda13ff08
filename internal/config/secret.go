package config

import (
	"fmt"
	"io"
	"net/url"
	"os"
	"runtime"
	"strings"

	"github.com/ironpost/ironpost/internal/setting"
)

// maxSecret bounds the content of a file that holds a secret.
const maxSecret = 64 << 10

// secrets replaces each secret whose <key>_file is set by the content of that file.
func (l *loader) secrets(values map[string]any) {
	for _, f := range l.schema.fields {
		fileKey := f.key + "_file"
		if _, paired := l.schema.lookup(fileKey); !f.secret || !paired {
			continue
		}
		path, _ := values[fileKey].(string)
		switch direct, _ := values[f.key].(string); {
		case path == "":
		case direct != "":
			l.blame(fileKey, fmt.Sprintf("%s is set too (%s), set only one of them", f.key, l.originOf(f.key)))
		default:
			l.secretFile(values, f, fileKey, path)
		}
	}
}

func (l *loader) secretFile(values map[string]any, f field, fileKey, path string) {
	content, mode, err := readSecret(path)
	if err != nil {
		l.blame(fileKey, err.Error())
		return
	}
	if mode.Perm()&0o077 != 0 && runtime.GOOS != "windows" {
		l.warn(fileKey, fmt.Sprintf("%s may be read by others (mode %04o), chmod 600 it", setting.Shown(path), mode.Perm()))
	}
	values[f.key] = content
	l.origins[f.key] = Origin{Kind: FromSecretFile, Name: path}
	l.via[f.key] = fileKey
}

// readSecret returns the content of a file without the white space around it.
func readSecret(path string) (string, os.FileMode, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", 0, fmt.Errorf("cannot read the secret: %w", err)
	}
	if !info.Mode().IsRegular() {
		return "", 0, fmt.Errorf("%s is not a regular file", setting.Shown(path))
	}
	file, err := os.Open(path)
	if err != nil {
		return "", 0, fmt.Errorf("cannot read the secret: %w", err)
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxSecret+1))
	switch content := strings.TrimSpace(string(data)); {
	case err != nil:
		return "", 0, fmt.Errorf("cannot read the secret: %w", err)
	case len(data) > maxSecret:
		return "", 0, fmt.Errorf("%s is larger than %d bytes", setting.Shown(path), maxSecret)
	case content == "":
		return "", 0, fmt.Errorf("%s is empty, must hold the secret", setting.Shown(path))
	default:
		return content, info.Mode(), nil
	}
}

// redact hides what must not be shown of a secret: the password of a URL and every parameter that looks like one. What is not a URL is hidden whole.
func redact(secret string) string {
	if secret == "" {
		return ""
	}
	u, err := url.Parse(secret)
	if err != nil || u.Host == "" {
		return "(hidden)"
	}
	query := u.Query()
	for name := range query {
		if lower := strings.ToLower(name); strings.Contains(lower, "pass") || strings.Contains(lower, "token") || strings.Contains(lower, "secret") {
			query.Set(name, "xxxxx")
		}
	}
	if u.RawQuery != "" {
		u.RawQuery = query.Encode()
	}
	return u.Redacted()
}

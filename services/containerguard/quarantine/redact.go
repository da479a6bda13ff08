package quarantine

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

var errNotRedacted = errors.New("not kept: the values of its environment cannot be told apart")

// redactEnvironment returns Docker's answer about a container without the values of its
// environment variables, which often are passwords. The names stay.
func redactEnvironment(raw []byte) ([]byte, error) {
	answer, err := members(raw)
	if err != nil {
		return nil, err
	}
	for key := range answer {
		if !strings.EqualFold(key, "Config") {
			continue
		}
		config, err := members(answer[key])
		if err != nil {
			return nil, err
		}
		for name := range config {
			if !strings.EqualFold(name, "Env") {
				continue
			}
			var env []string
			if err := json.Unmarshal(config[name], &env); err != nil {
				return nil, errNotRedacted
			}
			for i, variable := range env {
				if before, value, valued := strings.Cut(variable, "="); valued {
					env[i] = fmt.Sprintf("%s=(%d bytes redacted)", before, len(value))
				}
			}
			if config[name], err = marshal(env); err != nil {
				return nil, err
			}
		}
		if answer[key], err = marshal(config); err != nil {
			return nil, err
		}
	}
	return marshal(answer)
}

// members returns the members of a JSON object as they are.
func members(raw []byte) (map[string]json.RawMessage, error) {
	var out map[string]json.RawMessage
	if err := json.Unmarshal(raw, &out); err != nil {
		return nil, errNotRedacted
	}
	return out, nil
}

// marshal is json.Marshal that leaves < and > as they are.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimSpace(b.Bytes()), err
}

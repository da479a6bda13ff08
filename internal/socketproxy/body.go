package socketproxy

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
)

// bodies returns, by the last element of the path, what is forwarded of a body. Other calls have
// none.
var bodies = map[string]func([]byte) (any, error){
	"update": updateBody, "connect": connectBody, "disconnect": disconnectBody,
}

var (
	containerID     = regexp.MustCompile(`^[0-9a-f]{64}$`)
	restartPolicies = []string{"", "no", "always", "on-failure", "unless-stopped"}
)

// restartPolicy and the types below have the names of Docker's API, version 1.41.
type restartPolicy struct {
	Name              string
	MaximumRetryCount int
}

// updateBody permits the restart policy: POST /containers/{id}/update could also raise limits of
// memory and CPU.
func updateBody(text []byte) (any, error) {
	var policy json.RawMessage
	if err := object(text, map[string]any{"RestartPolicy": &policy}); err != nil {
		return nil, err
	}
	var p restartPolicy
	if err := object(policy, map[string]any{"Name": &p.Name, "MaximumRetryCount": &p.MaximumRetryCount}); err != nil {
		return nil, err
	}
	if !slices.Contains(restartPolicies, p.Name) {
		return nil, fmt.Errorf("%w: there is no such restart policy", errBody)
	}
	return map[string]any{"RestartPolicy": p}, nil
}

// disconnectBody permits a container; not Force, which the guard does not need.
func disconnectBody(text []byte) (any, error) {
	var id string
	if err := object(text, map[string]any{"Container": &id}); err != nil {
		return nil, err
	}
	return map[string]any{"Container": id}, checkContainer(id)
}

type endpoint struct {
	IPAMConfig *addresses        `json:",omitempty"`
	Links      []string          `json:",omitempty"`
	Aliases    []string          `json:",omitempty"`
	DriverOpts map[string]string `json:",omitempty"`
	GwPriority int               `json:",omitempty"`
	MacAddress string            `json:",omitempty"`
}

type addresses struct {
	IPv4Address  string   `json:",omitempty"`
	IPv6Address  string   `json:",omitempty"`
	LinkLocalIPs []string `json:",omitempty"`
}

// connectBody permits a container and what a user may have configured of its endpoint.
func connectBody(text []byte) (any, error) {
	var id string
	var config, ipam json.RawMessage
	if err := object(text, map[string]any{"Container": &id, "EndpointConfig": &config}); err != nil {
		return nil, err
	}
	var e endpoint
	if err := object(config, map[string]any{
		"IPAMConfig": &ipam, "Links": &e.Links, "Aliases": &e.Aliases, "DriverOpts": &e.DriverOpts,
		"GwPriority": &e.GwPriority, "MacAddress": &e.MacAddress,
	}); err != nil {
		return nil, err
	}
	if !isZero(ipam) {
		e.IPAMConfig = &addresses{}
		if err := object(ipam, map[string]any{
			"IPv4Address": &e.IPAMConfig.IPv4Address, "IPv6Address": &e.IPAMConfig.IPv6Address, "LinkLocalIPs": &e.IPAMConfig.LinkLocalIPs,
		}); err != nil {
			return nil, err
		}
	}
	return map[string]any{"Container": id, "EndpointConfig": e}, checkContainer(id)
}

func checkContainer(id string) error {
	if !containerID.MatchString(id) {
		return fmt.Errorf("%w: Container is not a full id", errBody)
	}
	return nil
}

// object decodes the fields of a JSON object. Any other field must have its zero value, as Docker's
// client sends for what is not set. An absent object has no fields.
func object(text []byte, fields map[string]any) error {
	if len(text) == 0 {
		return nil
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(text, &all); err != nil {
		return fmt.Errorf("%w: it is not JSON of this call", errBody)
	}
	for name, value := range all {
		into, known := fields[name]
		switch {
		case known:
			if err := json.Unmarshal(value, into); err != nil {
				return fmt.Errorf("%w: a field has the wrong type", errBody)
			}
		case !isZero(value):
			return fmt.Errorf("%w: it sets another field", errBody)
		}
	}
	return nil
}

// isZero reports whether a JSON value is null, false, zero or empty.
func isZero(text []byte) bool {
	var v any
	if len(text) == 0 || json.Unmarshal(text, &v) != nil {
		return len(text) == 0
	}
	switch v := v.(type) {
	case []any:
		return len(v) == 0
	case map[string]any:
		return len(v) == 0
	}
	return v == nil || v == false || v == 0.0 || v == ""
}

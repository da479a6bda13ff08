package embedded

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// Account returns the account of an external bus, in the configuration language of NATS servers: what
// stands between its braces. It has a user for each key of dir, with the permissions that it would have
// on an embedded bus. The name of the account is up to those servers.
func Account(dir string) (string, error) {
	keys, err := readRemoteKeys(dir, true)
	if err != nil {
		return "", err
	}
	if len(keys.users) == 0 {
		return "", errors.New("there are no keys in " + dir)
	}
	var out bytes.Buffer
	out.WriteString("jetstream: enabled\nusers: [\n")
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false) // the server knows no \u escapes
	for i, user := range keys.users {
		fmt.Fprintf(&out, "  # %s\n  ", keys.names[i])
		if err := enc.Encode(user); err != nil {
			return "", err
		}
	}
	out.WriteString("]\n")
	return out.String(), nil
}

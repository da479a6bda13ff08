package embedded

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// accountNote is the beginning of what Account returns.
const accountNote = `# The account of Ironpost, for each server of the external bus and for the proxy in front of it. The server has
#   listen: 127.0.0.1:4222
#   accounts { IRONPOST { include "ironpost-account.conf" } }
# and other machines reach it through: ironpost bus proxy --listen 0.0.0.0:4443
# Permissions do not cover reply subjects: a client that reaches the server itself can delete streams.
`

// Account returns the account of an external bus, in the configuration language of NATS servers: what
// stands between its braces. It has a user for each key of dir, with the permissions that it would have
// on an embedded bus. The name of the account is up to those servers.
func Account(dir string) (string, error) {
	keys, err := readRemoteKeys(dir, "", true)
	if err == nil {
		err = errors.Join(keys.Refused...)
	}
	if err != nil {
		return "", err
	}
	if len(keys.users) == 0 {
		return "", errors.New("there are no keys in " + dir)
	}
	var out bytes.Buffer
	out.WriteString(accountNote + "jetstream: enabled\nusers: [\n")
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

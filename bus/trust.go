package bus

import (
	"context"
	"errors"
)

// trustKey is the key of a plug-in in TrustBucket.
func trustKey(name, host string) string { return join(name, host) }

// SetTrust makes TrustBucket hold the trust of plugins and nothing else. Only the daemon, which
// reads it from the plug-ins' keys, may call it.
func (c *Conn) SetTrust(ctx context.Context, plugins []Plugin) error {
	kv, err := c.KV(ctx, TrustBucket)
	if err != nil {
		return err
	}
	entries, err := kv.List(ctx)
	if err != nil {
		return err
	}
	have := map[string]string{}
	for _, e := range entries {
		have[e.Key] = string(e.Value)
	}
	for _, p := range plugins {
		key := trustKey(p.Name, p.Host)
		if have[key] != string(p.Trust) {
			if _, err := kv.Put(ctx, key, []byte(p.Trust), 0); err != nil {
				return err
			}
		}
		delete(have, key)
	}
	for key := range have {
		if err := kv.Delete(ctx, key); err != nil {
			return err
		}
	}
	return nil
}

// TrustOf returns the trust of the plug-in name on host, Unproven for one without an entry. It
// needs the permission to read TrustBucket.
func (c *Conn) TrustOf(ctx context.Context, name, host string) (Trust, error) {
	kv, err := c.KV(ctx, TrustBucket)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return "", err
	}
	if err != nil {
		return Unproven, nil // a bus made by an earlier version
	}
	value, _, err := kv.Get(ctx, trustKey(name, host))
	switch {
	case errors.Is(err, ErrNotFound):
		return Unproven, nil
	case err != nil:
		return "", err
	case Trust(value) == Peer:
		return Peer, nil
	}
	return Unproven, nil
}

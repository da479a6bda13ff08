package bus

import (
	"context"
	"errors"

	"github.com/ironpost/ironpost/event"
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

// Ceiling returns the strongest trust that a record may claim that module published for host: that
// of its row in the table of modules, for a plug-in what the operator gave it, and TrustUnproven for
// one that nobody gave any. It needs the permission to read TrustBucket.
func (c *Conn) Ceiling(ctx context.Context, module, host string) (event.Trust, error) {
	if m, ours := moduleNamed(module); ours {
		return m.Ceiling, nil
	}
	kv, err := c.KV(ctx, TrustBucket)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return "", err
	}
	if err != nil {
		return event.TrustUnproven, nil // a bus made by an earlier version
	}
	value, _, err := kv.Get(ctx, trustKey(module, host))
	if err != nil && !errors.Is(err, ErrNotFound) {
		return "", err
	}
	return event.Trust(value).AtMost(event.TrustPeer), nil
}

// ModuleCeiling is Conn.Ceiling without a bus, on which alone the trust of plug-ins is known: they are unproven.
func ModuleCeiling(module string) event.Trust {
	if m, ours := moduleNamed(module); ours {
		return m.Ceiling
	}
	return event.TrustUnproven
}

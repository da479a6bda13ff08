package bpf

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/cilium/ebpf"
)

// MaxScopes bounds the scopes of a Filter.
const MaxScopes = 1024

// maxRate is the highest Rate of a scope.
const maxRate = 1_000_000

// Scope is a block of some packets of a prefix. It holds while the prefix has an Entry that is Scoped.
type Scope struct {
	Prefix netip.Prefix
	// Protocol is an IP protocol, 1 for ICMPv6 too; 0: all. Port is the destination of TCP or UDP; 0: all.
	Protocol uint8
	Port     uint16
	// Rate is how many new attempts per second of each source pass: TCP SYNs, echo requests, and first packets of conversations of
	// other protocols. All other packets pass. 0: no packet passes. An IPv6 source is a /64.
	Rate int
	// Expires, Reason, Packets and Bytes are as those of an Entry; only dropped packets are counted.
	Expires        time.Time
	Reason         uint32
	Packets, Bytes uint64
}

func (s Scope) key() (programScopeKey, error) {
	p, err := normalize(s.Prefix)
	if err != nil {
		return programScopeKey{}, fmt.Errorf("scope: %w", err)
	}
	length := p.Bits()
	if p.Addr().Is4() {
		length += 96
	}
	a := kernelAddr(p.Addr())
	return programScopeKey{Addr: a, Length: uint32(length), Port: s.Port, Proto: s.Protocol}, nil
}

func (s Scope) value(at clock) programScope {
	v := programScope{Reason: s.Reason}
	if s.Rate > 0 {
		v.Interval = uint32(time.Second) / uint32(min(s.Rate, maxRate))
	}
	if !s.Expires.IsZero() {
		v.Expires = max(1, at.programTime(s.Expires))
	}
	return v
}

// SetScopes replaces all scopes, at most MaxScopes; those that stay keep their counts. ErrFull: there are more.
func (f *Filter) SetScopes(scopes []Scope) error {
	if len(scopes) > MaxScopes {
		return fmt.Errorf("%w: %d scopes, at most %d", ErrFull, len(scopes), MaxScopes)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	want := make(map[programScopeKey]programScope, len(scopes))
	at := clockFor(f.replay)
	for _, s := range scopes {
		key, err := s.key()
		if err != nil {
			return err
		}
		want[key] = s.value(at)
	}
	var key programScopeKey
	var have programScope
	var gone []programScopeKey
	all := f.maps.scopes.Iterate()
	for all.Next(&key, &have) {
		if v, stays := want[key]; stays {
			v.Packets, v.Bytes = have.Packets, have.Bytes
			want[key] = v
		} else {
			gone = append(gone, key)
		}
	}
	if err := all.Err(); err != nil {
		return fmt.Errorf("read the scopes: %w", err)
	}
	for _, key := range gone {
		if err := f.maps.scopes.Delete(key); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return fmt.Errorf("remove a scope: %w", err)
		}
	}
	for key, v := range want {
		if err := f.maps.scopes.Put(key, v); err != nil {
			return fmt.Errorf("add a scope: %w", explainFull(err))
		}
	}
	return nil
}

// Scopes returns all scopes with their counts, expired ones included, in no order.
func (f *Filter) Scopes() ([]Scope, error) {
	f.reading.RLock()
	defer f.reading.RUnlock()
	var scopes []Scope
	var key programScopeKey
	var v programScope
	at := clockFor(f.replay)
	all := f.maps.scopes.Iterate()
	for all.Next(&key, &v) {
		s := Scope{
			Prefix: scopePrefix(key), Protocol: key.Proto, Port: key.Port, Reason: v.Reason, Packets: v.Packets, Bytes: v.Bytes,
		}
		if v.Interval > 0 {
			s.Rate = int(uint32(time.Second) / v.Interval)
		}
		if v.Expires != 0 {
			s.Expires = at.wallTime(v.Expires)
		}
		scopes = append(scopes, s)
	}
	if err := all.Err(); err != nil {
		return nil, fmt.Errorf("read the scopes: %w", err)
	}
	return scopes, nil
}

func scopePrefix(key programScopeKey) netip.Prefix {
	addr := fromKernelAddr(key.Addr)
	if addr.Is4() {
		return netip.PrefixFrom(addr, int(key.Length)-96)
	}
	return netip.PrefixFrom(addr, int(key.Length))
}

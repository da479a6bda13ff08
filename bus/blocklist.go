package bus

import (
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/ironpost/ironpost/event"
)

// The bounds of a Block. A permanent one belongs in a file of ebpf.blocklist_files.
const (
	// MaxBlockTime is the longest from Created to Expires.
	MaxBlockTime = 3660 * 24 * time.Hour
	// MaxBlockReason is the longest Reason, in bytes.
	MaxBlockReason = 512
	// MaxBlockSource is the longest Source, in bytes.
	MaxBlockSource = 128

	// MinBlockBits4 and MinBlockBits6 are the lengths of the widest prefixes that an operator or a
	// feed may block: the largest that a registry hands out. A wider one is more likely a mistake.
	MinBlockBits4 = 8
	MinBlockBits6 = 19

	maxBlockValue = 4 << 10
)

// ErrInvalidBlock is returned for a block, or an entry of BlocklistBucket, with a value that
// is not permitted.
var ErrInvalidBlock = errors.New("not a valid block")

// Block is one entry of BlocklistBucket: every engine, or those of Hosts, drop packets from Prefix until
// Expires. It is desired state, not a command: writing it again changes nothing, and an
// engine that starts later reconciles.
//
// Its key is that of Key, its value this struct as JSON, and the message has a
// TTL that ends with Expires, so that the server removes it; the engine goes by Expires
// alone.
type Block struct {
	// Prefix has the form that ParseBlockPrefix returns: no host bits, no zone, IPv4 as
	// IPv4. A single address has all its bits.
	Prefix netip.Prefix `json:"prefix"`
	Scope
	// Expires ends it, at most MaxBlockTime after Created.
	Expires time.Time `json:"expires"`
	// Reason is for people: why, such as the title of the alert.
	Reason string `json:"reason,omitempty"`
	// Policy and AlertID are the policy that made an automatic block and the alert that it
	// answered; empty for a block of an operator.
	Policy  string `json:"policy,omitempty"`
	AlertID string `json:"alert_id,omitempty"`
	// Source is its owner: a module such as "container-guard", or "operator".
	Source string `json:"source"`
	// MadeOn is the host of the module that made it: only that one gives it up for a stronger one. Empty if modules of
	// several hosts did, for an operator's, and in entries of versions without it.
	MadeOn string `json:"made_on,omitempty"`
	// Created is when it was first written.
	Created time.Time `json:"created"`
	// Hosts are those on which it holds; empty, as in entries of versions without it: on all.
	Hosts Hosts `json:"hosts,omitempty"`
	// Trust is that of the alert behind an automatic block: a stronger one goes before a weaker one. Empty for an
	// operator's, and in entries of versions without it.
	Trust event.Trust `json:"trust,omitempty"`

	// Hub says that the forwarder of an edge copied it from the hub. It is part of the key, not of the
	// value, so that a prefix may be blocked by both and neither changes what the other wrote.
	Hub bool `json:"-"`
}

// ParseBlockPrefix reads an address or a prefix such as 203.0.113.7, 203.0.113.0/24 or
// 2001:db8::/64 and returns it in the one form that has a key: ::ffff:203.0.113.7 as
// IPv4. It returns ErrInvalidBlock for anything else, also for a zone, which names an
// interface of one host, and for host bits: 203.0.113.7/24 may mean one address or 256.
func ParseBlockPrefix(text string) (netip.Prefix, error) {
	prefix, err := netip.ParsePrefix(text)
	if err != nil {
		addr, bad := netip.ParseAddr(text)
		if bad != nil || addr.Zone() != "" {
			return netip.Prefix{}, fmt.Errorf("%w: %q is neither an address nor a prefix such as 203.0.113.0/24", ErrInvalidBlock, event.PrintableASCII(text, maxHeader))
		}
		prefix = netip.PrefixFrom(addr, addr.BitLen())
	}
	clean := canonical(prefix)
	if addr := prefix.Addr(); addr != clean.Addr() && addr.Unmap() != clean.Addr() {
		single := netip.PrefixFrom(addr.Unmap(), addr.Unmap().BitLen())
		return netip.Prefix{}, fmt.Errorf("%w: %s has bits beyond its length: use %s, or %s for the one address", ErrInvalidBlock, prefix, clean, single)
	}
	return clean, nil
}

// CheckBlockWidth returns ErrInvalidBlock for a prefix that is shorter than MinBlockBits4 or
// MinBlockBits6.
func CheckBlockWidth(p netip.Prefix) error {
	if p.Addr().Is4() && p.Bits() >= MinBlockBits4 || p.Addr().Is6() && p.Bits() >= MinBlockBits6 {
		return nil
	}
	return fmt.Errorf("%w: %s is too wide, at least /%d for IPv4 and /%d for IPv6", ErrInvalidBlock, p, MinBlockBits4, MinBlockBits6)
}

// canonical clears the host bits and turns IPv4-mapped IPv6 (RFC 4291, section 2.5.5.2) into IPv4.
func canonical(p netip.Prefix) netip.Prefix {
	const mapped = 96
	if p.Addr().Is4In6() && p.Bits() >= mapped {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-mapped)
	}
	return p.Masked()
}

// BlockKey is the key of prefix in BlocklistBucket: the address in hex, "-", the
// length, such as "cb007100-24" (a key may hold no ':').
func BlockKey(prefix netip.Prefix) string {
	p := canonical(prefix)
	return fmt.Sprintf("%x-%d", p.Addr().AsSlice(), p.Bits())
}

// hubKeys starts the keys of entries that were copied from the hub.
const hubKeys = "hub."

// ParseBlockKey returns the prefix of the key of an entry that drops all packets, on all hosts or on some, and whether it was
// copied from the hub. It returns ErrInvalidBlock for any other key.
func ParseBlockKey(key string) (prefix netip.Prefix, hub bool, err error) {
	own, hub := strings.CutPrefix(key, hubKeys)
	own, _, _ = strings.Cut(own, hostsInKey)
	prefix, err = parseBlockKey(own)
	return prefix, hub, err
}

// parseBlockKey is the inverse of BlockKey.
func parseBlockKey(key string) (netip.Prefix, error) {
	address, length, _ := strings.Cut(key, "-")
	bytes, err := hex.DecodeString(address)
	bits, notNumber := strconv.Atoi(length)
	addr, known := netip.AddrFromSlice(bytes)
	p := netip.PrefixFrom(addr, bits)
	if err != nil || notNumber != nil || !known || !p.IsValid() || BlockKey(p) != key {
		return netip.Prefix{}, fmt.Errorf("%w: key %q", ErrInvalidBlock, event.PrintableASCII(key, maxHeader))
	}
	return p, nil
}

// Encode returns the entry of b and how long the bucket keeps it, counted from now.
// Its prefix may have host bits; they are cleared. It returns ErrInvalidBlock for a block
// that has expired, is too long or not readable by DecodeBlock.
func (b Block) Encode(now time.Time) (key string, value []byte, ttl time.Duration, err error) {
	b.Prefix, b.Expires, b.Created = canonical(b.Prefix), b.Expires.UTC(), b.Created.UTC()
	if err := b.check(); err != nil {
		return "", nil, 0, err
	}
	if ttl = b.Expires.Sub(now); ttl <= 0 {
		return "", nil, 0, fmt.Errorf("%w: %s expired at %s", ErrInvalidBlock, b.Prefix, b.Expires.Format(time.RFC3339))
	}
	value, err = json.Marshal(b)
	return b.Key(), value, ttl, err
}

// DecodeBlock reads an entry of BlocklistBucket. It returns ErrInvalidBlock for anything that
// Encode would not have written under this key; unknown fields are ignored. Checking
// Expires is left to the caller.
func DecodeBlock(key string, value []byte) (Block, error) {
	if len(value) > maxBlockValue {
		return Block{}, fmt.Errorf("%w: %d bytes, at most %d", ErrInvalidBlock, len(value), maxBlockValue)
	}
	var b Block
	if err := json.Unmarshal(value, &b); err != nil {
		return Block{}, fmt.Errorf("%w: %w", ErrInvalidBlock, err)
	}
	if err := b.check(); err != nil {
		return Block{}, err
	}
	b.Hub = strings.HasPrefix(key, hubKeys)
	b.Created, b.Expires = b.Created.UTC(), b.Expires.UTC() // equal blocks are == whatever zone their times were written in
	if b.Prefix != canonical(b.Prefix) || key != b.Key() {
		return Block{}, fmt.Errorf("%w: the key of %s is %s", ErrInvalidBlock, b.Prefix, b.Key())
	}
	return b, nil
}

func (b Block) check() error {
	switch {
	case !b.Prefix.IsValid():
		return fmt.Errorf("%w: no prefix", ErrInvalidBlock)
	case b.Source == "" || len(b.Source) > MaxBlockSource || !utf8.ValidString(b.Source):
		return fmt.Errorf("%w: the source must be text of 1 to %d bytes", ErrInvalidBlock, MaxBlockSource)
	case len(b.MadeOn) > MaxBlockSource || !utf8.ValidString(b.MadeOn):
		return fmt.Errorf("%w: made_on must be text of at most %d bytes", ErrInvalidBlock, MaxBlockSource)
	case len(b.Reason) > MaxBlockReason || !utf8.ValidString(b.Reason):
		return fmt.Errorf("%w: the reason must be text of at most %d bytes", ErrInvalidBlock, MaxBlockReason)
	case len(b.Policy) > MaxBlockSource || !utf8.ValidString(b.Policy) || len(b.AlertID) > MaxBlockSource || !utf8.ValidString(b.AlertID):
		return fmt.Errorf("%w: policy and alert_id must be text of at most %d bytes", ErrInvalidBlock, MaxBlockSource)
	case b.Scope.check() != nil:
		return b.Scope.check()
	case b.Trust != "" && !slices.Contains(event.Trusts(), b.Trust):
		return fmt.Errorf("%w: the trust must be one of %v", ErrInvalidBlock, event.Trusts())
	case b.Hosts.check() != nil:
		return b.Hosts.check()
	case b.Created.IsZero() || !b.Expires.After(b.Created):
		return fmt.Errorf("%w: it must expire after it was created", ErrInvalidBlock)
	case b.Expires.UTC().Year() > 9999: // not possible in JSON (RFC 3339, section 1)
		return fmt.Errorf("%w: it expires after the year 9999", ErrInvalidBlock)
	case b.Expires.Sub(b.Created) > MaxBlockTime:
		return fmt.Errorf("%w: it may last %d days at most", ErrInvalidBlock, MaxBlockTime/(24*time.Hour))
	}
	return nil
}

// Blocklist reads and writes BlocklistBucket. Of an operator it is the daemon that writes, in the operator's name: Put and RemoveBlock ask for
// its acts, and the others fail. Its methods may be called concurrently.
type Blocklist struct {
	kv       *KV
	operator *Conn // nil of others than operators
}

// Blocklist returns the bucket, or ErrNotFound if it was not provisioned.
func (c *Conn) Blocklist(ctx context.Context) (*Blocklist, error) {
	kv, err := c.KV(ctx, BlocklistBucket)
	if err != nil {
		return nil, err
	}
	l := &Blocklist{kv: kv}
	if c.module == Operator {
		l.operator = c
	}
	return l, nil
}

// Put writes the entry of b.Prefix, whatever it was before: what an operator says wins.
func (l *Blocklist) Put(ctx context.Context, b Block) error {
	if l.operator != nil {
		return l.operator.Operate(ctx, Daemon, l.operator.Host(), VerbBlock, BlockRequest{Block: b}, nil)
	}
	key, value, ttl, err := b.Encode(time.Now())
	if err != nil {
		return err
	}
	_, err = l.kv.Put(ctx, key, value, ttl)
	return err
}

// Extend makes sure that b.Prefix stays blocked until b.Expires at least, and returns the
// entry that does: b, or an existing one that lasts as long. It is for automatic blocks: it
// never shortens an entry, changes only the end of another owner's, and raises the trust of one to that of b, for all of its time. It
// returns ErrConflict if the entry changed during each of its attempts.
func (l *Blocklist) Extend(ctx context.Context, b Block) (Block, error) {
	const attempts = 5
	key, value, ttl, err := b.Encode(time.Now())
	if err != nil {
		return Block{}, err
	}
	b, _ = DecodeBlock(key, value) // in the form in which it is read
	for range attempts {
		extended := b
		have, revision, getErr := l.get(ctx, key)
		switch {
		case errors.Is(getErr, ErrNotFound):
			_, err = l.kv.Create(ctx, key, value, ttl)
		case getErr != nil && !errors.Is(getErr, ErrInvalidBlock): // an entry that cannot be read is overwritten
			return Block{}, getErr
		case getErr == nil && have == have.extendedBy(b):
			return have, nil
		default:
			if getErr == nil {
				extended = have.extendedBy(b)
			}
			if _, value, ttl, err = extended.Encode(time.Now()); err != nil {
				return Block{}, err
			}
			_, err = l.kv.Update(ctx, key, value, revision, ttl)
		}
		if !errors.Is(err, ErrConflict) {
			return extended, err
		}
	}
	return Block{}, err
}

// extendedBy returns the entry that stands for b and other: the stronger of the two, of equal ones the later, until both have ended.
func (b Block) extendedBy(other Block) Block {
	end := b.Expires
	if other.Expires.After(end) {
		end = other.Expires
	}
	if b.Source == other.Source {
		madeOn := b.MadeOn
		if stronger := other.Trust.Rank() - b.Trust.Rank(); stronger > 0 || stronger == 0 && other.Expires.After(b.Expires) {
			b = other
		}
		if madeOn != other.MadeOn {
			madeOn = ""
		}
		b.MadeOn = madeOn
	}
	b.Expires = end
	return b
}

// GetBlock returns the entry with the key of b, as Get.
func (l *Blocklist) GetBlock(ctx context.Context, b Block) (Block, error) {
	have, _, err := l.get(ctx, b.Key())
	return have, err
}

// Get returns the entry that drops every packet of prefix, ErrNotFound if there is none,
// ErrInvalidBlock if it cannot be read.
func (l *Blocklist) Get(ctx context.Context, prefix netip.Prefix) (Block, error) {
	b, _, err := l.get(ctx, BlockKey(prefix))
	return b, err
}

func (l *Blocklist) get(ctx context.Context, key string) (Block, uint64, error) {
	value, revision, err := l.kv.Get(ctx, key)
	if err != nil {
		return Block{}, 0, err
	}
	b, err := DecodeBlock(key, value)
	return b, revision, err
}

// Remove removes the entry that drops every packet of prefix; a missing one is no error.
// Entries of other prefixes that cover the same addresses stay.
func (l *Blocklist) Remove(ctx context.Context, prefix netip.Prefix) error {
	return l.kv.Delete(ctx, BlockKey(prefix))
}

// RemoveBlock removes the entry of b; a missing one is no error. An operator's removes those for other hosts, too.
func (l *Blocklist) RemoveBlock(ctx context.Context, b Block) error {
	if l.operator != nil {
		return l.operator.Operate(ctx, Daemon, l.operator.Host(), VerbUnblock, UnblockRequest{Prefix: b.Prefix, Scope: b.Scope, Reason: b.Reason}, nil)
	}
	return l.kv.Delete(ctx, b.Key())
}

// RemoveAutomatic removes the entry with a key if source made it, on host alone; another one, or a missing one, is no error.
func (l *Blocklist) RemoveAutomatic(ctx context.Context, key, source, host string) error {
	b, _, err := l.get(ctx, key)
	if errors.Is(err, ErrNotFound) || err == nil && (b.Source != source || b.MadeOn != host) {
		return nil
	}
	if err != nil {
		return err
	}
	return l.kv.Delete(ctx, key)
}

// List returns the valid entries, those of the hub included, sorted by prefix, and the number of
// invalid ones.
func (l *Blocklist) List(ctx context.Context) (blocks []Block, invalid int, err error) {
	entries, err := l.kv.List(ctx)
	if err != nil {
		return nil, 0, err
	}
	for _, e := range entries {
		b, err := DecodeBlock(e.Key, e.Value)
		if err != nil {
			invalid++
			continue
		}
		blocks = append(blocks, b)
	}
	slices.SortFunc(blocks, func(a, b Block) int {
		if order := a.Prefix.Addr().Compare(b.Prefix.Addr()); order != 0 {
			return order
		}
		return cmp.Or(a.Prefix.Bits()-b.Prefix.Bits(), strings.Compare(a.Key(), b.Key()))
	})
	return blocks, invalid, nil
}

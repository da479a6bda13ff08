package blocklist

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/ironpost/ironpost/internal/task"
)

const (
	// lookEvery is how often lifelines are looked for when nobody says that something changed.
	lookEvery = 5 * time.Second
	// sessionsFresh is how old the look for logins may be when something is blocked: who blocks 0.0.0.0/0 has just
	// logged in.
	sessionsFresh = time.Second
	// lookShare bounds the time that looking takes, to a twentieth: a machine with a million connections or routes is
	// not looked at often.
	lookShare = 20
	// keepWhole is how long what a whole look found stays allowed while later looks are not whole: the kernel may cut a list
	// of routes short that changes meanwhile, and a lifeline must not be lost for that.
	keepWhole = 5 * time.Minute
)

// lines are the lifelines in force.
type lines struct {
	mu      sync.Mutex // held through a look, so that there is one at a time
	network look
	ssh     look

	all     []ProtectedAddress
	left    int
	err     error // of the kernel
	written bool
}

// look is what was found, what could not be looked at, and when to look again at the earliest.
type look struct {
	found    []ProtectedAddress
	problems []error
	began    time.Time
	next     time.Time

	whole   []ProtectedAddress // what the last look without a problem found
	wholeAt time.Time
}

// take replaces what was found and logs new problems. Beside a problem, what was found before is kept for a while.
func (l *look) take(log logrus.FieldLogger, began time.Time, found []ProtectedAddress, problems []error) {
	for _, err := range problems {
		if !slices.ContainsFunc(l.problems, func(old error) bool { return old.Error() == err.Error() }) {
			log.WithError(err).Warn("lifelines not all found")
		}
	}
	if len(problems) == 0 {
		l.whole, l.wholeAt = found, began
	} else if began.Sub(l.wholeAt) < keepWhole {
		found = slices.Concat(found, l.whole)
	}
	l.found, l.problems, l.began = found, problems, began
	l.next = began.Add(lookShare * time.Since(began))
}

// refreshNetwork looks at everything but sessions.
func (k *Reconciler) refreshNetwork() {
	k.lines.mu.Lock()
	defer k.lines.mu.Unlock()
	began := time.Now()
	found, problems := networkLifelines("/", k.deps.Peers())
	k.lines.network.take(k.deps.Log, began, found, problems)
	k.allow()
}

// refreshSessions looks at who is logged in, unless somebody has just looked.
func (k *Reconciler) refreshSessions() {
	k.lines.mu.Lock()
	defer k.lines.mu.Unlock()
	began := time.Now()
	if began.Sub(k.lines.ssh.began) < sessionsFresh || began.Before(k.lines.ssh.next) {
		return
	}
	found, err := sshPeers("/")
	k.lines.ssh.take(k.deps.Log, began, found, errs(err))
	k.allow()
}

// allow makes the kernel's allow list equal to what was found.
func (k *Reconciler) allow() {
	all, left := tidy(slices.Concat(k.lines.network.found, k.lines.ssh.found))
	if k.lines.written && slices.Equal(all, k.lines.all) {
		return
	}
	prefixes := make([]netip.Prefix, len(all))
	for i, l := range all {
		prefixes[i] = l.Prefix
	}
	err := k.deps.Kernel.Allow(prefixes)
	if err != nil && (k.lines.err == nil || k.lines.err.Error() != err.Error()) {
		k.deps.Log.WithError(err).WithField("entries", len(prefixes)).Warn("kernel allow list not written")
	}
	k.lines.all, k.lines.left, k.lines.err, k.lines.written = all, left, err, err == nil
}

// keepLifelines looks when something changed, and now and then.
func (k *Reconciler) keepLifelines(ctx context.Context) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-k.network:
			k.refreshNetwork()
			k.spare(ctx)
		case <-tick.C:
			if k.networkDue() {
				k.refreshNetwork()
			}
			k.refreshSessions()
		}
	}
}

func (k *Reconciler) networkDue() bool {
	k.lines.mu.Lock()
	defer k.lines.mu.Unlock()
	return time.Now().After(k.lines.network.next)
}

// spare waits until the network may be looked at again: changes may come in thousands.
func (k *Reconciler) spare(ctx context.Context) {
	k.lines.mu.Lock()
	next := k.lines.network.next
	k.lines.mu.Unlock()
	task.Pause(ctx, min(time.Until(next), lookEvery))
}

// watchNetwork has keepLifelines look when an address or a route has changed; a burst of changes is one.
func (k *Reconciler) watchNetwork(ctx context.Context) error {
	err := networkChanges(ctx, func() {
		select {
		case k.network <- struct{}{}:
		default:
		}
	})
	if err != nil {
		k.deps.Log.WithError(err).Info("lifelines are polled")
	}
	return nil
}

// ProtectedAddresses returns what the kernel lets pass whatever is blocked, sorted by prefix.
func (k *Reconciler) ProtectedAddresses() []ProtectedAddress {
	k.lines.mu.Lock()
	defer k.lines.mu.Unlock()
	return slices.Clone(k.lines.all)
}

func (k *Reconciler) lineReasons() []string {
	k.lines.mu.Lock()
	defer k.lines.mu.Unlock()
	var all []string
	for _, err := range slices.Concat(k.lines.network.problems, k.lines.ssh.problems, errs(noRoom(k.lines.left))) {
		all = append(all, fmt.Sprintf("lifelines: %v", err))
	}
	if k.lines.err != nil {
		all = append(all, fmt.Sprintf("kernel allow list: %v", k.lines.err))
	}
	return all
}

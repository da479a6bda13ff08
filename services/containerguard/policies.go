package containerguard

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/ironpost/ironpost/services/containerguard/policy"
)

// policyCheckInterval is how often the policies' files are looked at for a change. A change is
// taken up at the second look that finds them the same, so that none is half written.
const policyCheckInterval = time.Second

// loadPolicies reads the policies of path. That there are none yet is said in
// missing and is no error.
func loadPolicies(path string) (set *policy.Set, missing string, err error) {
	set, err = policy.Load(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return &policy.Set{}, fmt.Sprintf("there are no policies: %s is missing, so no alert is answered", path), nil
	case err != nil:
		return nil, "", err
	case len(set.Enabled()) == 0:
		return set, fmt.Sprintf("there are no policies in %s that are enabled, so no alert is answered", path), nil
	}
	return set, "", nil
}

// usePolicies puts policies in force and says so.
func (s *Service) usePolicies(set *policy.Set, missing string) {
	s.policies.Store(set)
	s.health.say(aboutPolicies, missing)
	for _, w := range set.Warnings {
		s.log.WithField("warning", w.String()).Warn("policy warning")
	}
	s.log.WithField("policies", len(set.Enabled())).WithField("files", set.Files).Info("policies in force")
}

// reportPolicyError keeps the policies that are in force and tells every mistake.
func (s *Service) reportPolicyError(err error) {
	problems := 1
	first := err.Error()
	if bad, ok := errors.AsType[*policy.Error](err); ok {
		problems, first = len(bad.Problems)+bad.Omitted, bad.Problems[0].String()
		for _, p := range bad.Problems {
			s.log.WithField("problem", p.String()).Error("policy problem")
		}
	} else {
		s.log.WithError(err).Error("policies cannot be read")
	}
	kept := len(s.policies.Load().Enabled())
	s.health.say(aboutPolicies, fmt.Sprintf("policies not loaded, %d problems, the first: %s; %d policies stay in force", problems, first, kept))
}

// reloadPolicies loads the policies again, whole or not at all.
func (s *Service) reloadPolicies() {
	set, missing, err := loadPolicies(s.config().PolicyPath)
	if err != nil {
		s.reportPolicyError(err)
		return
	}
	s.usePolicies(set, missing)
}

// watchPolicies rereads them after a change of their files.
func (s *Service) watchPolicies(ctx context.Context) error {
	tick := time.NewTicker(policyCheckInterval)
	defer tick.Stop()
	used := s.loaded
	before := used
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		now := fingerprint(s.config().PolicyPath)
		if now != used && now == before {
			used = now
			s.reloadPolicies()
		}
		before = now
	}
}

// fingerprint changes when a file of path does.
func fingerprint(path string) uint64 {
	h := fnv.New64a()
	add := func(name string) {
		info, err := os.Stat(name)
		if err != nil {
			_, _ = fmt.Fprintf(h, "%s %v\n", name, errors.Is(err, fs.ErrNotExist))
			return
		}
		_, _ = fmt.Fprintf(h, "%s %d %d %s\n", name, info.Size(), info.ModTime().UnixNano(), info.Mode())
	}
	add(path)
	entries, err := os.ReadDir(path)
	if err != nil { // a file, or nothing
		return h.Sum64()
	}
	for _, e := range entries {
		if filepath.Ext(e.Name()) == ".toml" {
			add(filepath.Join(path, e.Name()))
		}
	}
	return h.Sum64()
}

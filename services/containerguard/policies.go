package containerguard

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/ironpost/ironpost/services/containerguard/policy"
)

// policyCheckInterval is how often the policy files are checked for a change. They are
// loaded when two checks in a row find the same change, so that none is half written.
const policyCheckInterval = time.Second

// loadPolicies reads the policies of path. That there are none is no error: missing
// says so, and set is empty.
func loadPolicies(path string) (set *policy.Set, missing string, err error) {
	set, err = policy.Load(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return &policy.Set{}, fmt.Sprintf("there are no policies: %s is missing, so no alert is answered", path), nil
	case err != nil:
		return nil, "", err
	case len(set.Enabled()) == 0:
		return set, fmt.Sprintf("there are no enabled policies in %s, so no alert is answered", path), nil
	}
	return set, "", nil
}

// usePolicies puts policies in force.
func (s *Service) usePolicies(set *policy.Set, missing string) {
	s.policies.Store(set)
	s.health.Set(topicPolicies, missing)
	for _, w := range slices.Concat(set.Mistakes, set.Warnings) {
		s.log.WithField("warning", w.String()).Warn("policy warning")
	}
	s.log.WithField("policies", len(set.Enabled())).WithField("files", set.Files).Info("policies in force")
}

// reportPolicyError keeps the policies in force, logs every problem of the new ones, and
// names the first in the health.
func (s *Service) reportPolicyError(err error) {
	problems := 1
	first := err.Error()
	if bad, ok := errors.AsType[*policy.Error](err); ok {
		problems, first = len(bad.Problems)+bad.Omitted, bad.Problems[0].String()
		for _, p := range bad.Problems {
			s.log.WithField("problem", p.String()).Error("policy problem")
		}
	} else {
		s.log.WithError(err).Error("cannot read policies")
	}
	kept := len(s.policies.Load().Enabled())
	s.health.Set(topicPolicies, fmt.Sprintf("policies not loaded, %d problems, the first: %s; %d policies stay in force", problems, first, kept))
}

// reloadPolicies loads the policies again, all of them or none.
func (s *Service) reloadPolicies() {
	path := s.config().PolicyPath
	err := s.deps.Trusted.CheckTree(path, ".toml")
	if err != nil {
		s.reportPolicyError(err)
		return
	}
	set, missing, err := loadPolicies(path)
	if err != nil {
		s.reportPolicyError(err)
		return
	}
	s.usePolicies(set, missing)
}

// watchPolicies reloads the policies after a change of their files, until ctx ends.
func (s *Service) watchPolicies(ctx context.Context) error {
	tick := time.NewTicker(policyCheckInterval)
	defer tick.Stop()
	loaded := s.loadedPolicies
	before := loaded
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		now := fingerprint(s.config().PolicyPath)
		if now != loaded && now == before {
			loaded = now
			s.reloadPolicies()
		}
		before = now
	}
}

// fingerprint returns a hash of the names, sizes, times and modes of the policy files.
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
	if err != nil { // a single file, or missing
		return h.Sum64()
	}
	for _, e := range entries {
		if filepath.Ext(e.Name()) == ".toml" {
			add(filepath.Join(path, e.Name()))
		}
	}
	return h.Sum64()
}

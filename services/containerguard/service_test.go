package containerguard_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/services/containerguard"
)

func TestPoliciesAreReloadedAllOrNone(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.policy("p", `actions = ["block-source"]`)
	s := r.start()
	require.Equal(t, uint64(1), s.count("policies"))

	r.policy("q", `actions = ["explode"]`)
	s.eventually(func() bool { return strings.Contains(fmt.Sprint(s.Health().Reasons), "q.toml:4:12") })
	require.Contains(t, fmt.Sprint(s.Health().Reasons), "1 policies stay in force")
	a := r.alert(from("203.0.113.7"))
	r.publish(a)
	r.await(a, "block-source done")

	r.policy("q", `actions = ["notify"]`)
	s.eventually(func() bool {
		return s.count("policies") == 2 && !strings.Contains(fmt.Sprint(s.Health().Reasons), "policies")
	})

	require.NoError(t, os.RemoveAll(r.cfg.PolicyPath))
	s.eventually(func() bool { return strings.Contains(fmt.Sprint(s.Health().Reasons), "is missing") })
}

func TestReloadFailsForAPolicyWithAMistake(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.policy("p", `actions = ["block-source"]`)
	s := r.start()
	r.policy("q", `actions = ["explode"]`)
	_, err := s.PrepareReload(t.Context(), r.cfg)
	require.ErrorContains(t, err, "q.toml:4:12")
	r.policy("q", `actions = ["notify"]`)
	cfg := r.cfg
	cfg.AutoIsolate = false
	commit, err := s.PrepareReload(t.Context(), cfg)
	require.NoError(t, err)
	commit()
	require.Equal(t, uint64(2), s.count("policies"))
	a := r.alert(from("203.0.113.7"))
	r.publish(a)
	r.await(a, "block-source skipped dry")
	cfg.DockerSocket = "/another.sock"
	commit, err = s.PrepareReload(t.Context(), cfg)
	require.NoError(t, err)
	require.Nil(t, commit, "another socket needs a new Service")
}

func TestStartedIsClosedWhenOpeningFails(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	require.NoError(t, os.WriteFile(filepath.Join(r.data(), "pending"), nil, 0o600)) // a file in place of the directory
	s, err := containerguard.New(r.cfg, containerguard.Deps{
		Bus: r.bus.Conn(bus.ContainerGuard), Host: host, DataDir: r.data(), Log: logrus.New(),
	})
	require.NoError(t, err)
	require.Error(t, s.Run(context.WithoutCancel(t.Context())))
	select {
	case <-s.Started():
	default:
		require.Fail(t, "Started must be closed")
	}
}

func TestGuardIsDegradedUntilItHasStarted(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.policy("p", `actions = ["pause"]`)
	s, err := containerguard.New(r.cfg, containerguard.Deps{
		Bus: r.bus.Conn(bus.ContainerGuard), Host: host, DataDir: r.data(), Log: logrus.New(),
	})
	require.NoError(t, err)
	require.Equal(t, event.Degraded, s.Health().Status)
	require.Equal(t, []string{"starting"}, s.Health().Reasons)
}

package suite

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/ironpost/ironpost/event"
)

const (
	checkTimeout  = 5 * time.Second
	maxCheckReply = 1 << 20
	exitDegraded  = 6 // as that of ironpost status
)

// check asks the instance that runs with cfg for its health, prints it and returns the exit code.
func (p Process) check(ctx context.Context, cfg Config) int {
	h, err := RequestHealth(ctx, cfg.Metrics, p.Program.metricsListen(cfg.Metrics))
	if err != nil {
		say(p.Stderr, "%s: %v", p.Program.Name, err)
		return exitError
	}
	say(p.Stdout, "%s", h.Status)
	for _, m := range h.Modules {
		if m.Enabled && m.Status != event.Healthy {
			say(p.Stdout, "%s is %s: %s", m.Name, m.Status, event.Printable(strings.Join(m.Reasons, "; "), 1000))
		}
	}
	switch h.Status {
	case event.Healthy:
		return exitOK
	case event.Degraded:
		return exitDegraded
	default:
		return exitError
	}
}

// RequestHealth asks the metrics server of c at address (host:port) for the health of its daemon, for at most 5 s. Any local process can answer
// there while no daemon does: the answer explains, and proves nothing.
func RequestHealth(ctx context.Context, c Metrics, address string) (h event.DaemonHealth, err error) {
	if !c.Enabled {
		return h, fmt.Errorf("metrics.enabled is false: the server of metrics.listen is asked for the health")
	}
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/healthz", nil)
	if err != nil {
		return h, err
	}
	response, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
	if err != nil {
		return h, fmt.Errorf("no answer from metrics.listen: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	if err := json.NewDecoder(io.LimitReader(response.Body, maxCheckReply)).Decode(&h); err != nil {
		return h, fmt.Errorf("the server at %s is not that of Ironpost: %s", address, response.Status)
	}
	return h, nil
}

package notify_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/ironpost/ironpost/services/containerguard/notify"
)

const patience = 30 * time.Second

// hook is a webhook that answers with the codes given, then with 200.
type hook struct {
	*httptest.Server
	mu     sync.Mutex
	codes  []int
	bodies []string
}

func newHook(t *testing.T, codes ...int) *hook {
	h := &hook{codes: codes}
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		h.mu.Lock()
		defer h.mu.Unlock()
		h.bodies = append(h.bodies, string(body))
		code := http.StatusOK
		if len(h.codes) > 0 {
			code, h.codes = h.codes[0], h.codes[1:]
		}
		if code/100 == 3 {
			w.Header().Set("Location", "http://127.0.0.1:1/elsewhere")
		}
		w.WriteHeader(code)
	}))
	t.Cleanup(h.Close)
	return h
}

func (h *hook) got() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]string{}, h.bodies...)
}

// run starts n and stops it when the test ends.
func run(t *testing.T, n *notify.Notifier) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	var once sync.Once
	stop = func() { once.Do(func() { cancel(); require.NoError(t, <-done) }) }
	t.Cleanup(stop)
	return stop
}

// send queues a message and returns what came of it.
func send(t *testing.T, n *notify.Notifier, m notify.Message) error {
	t.Helper()
	result := make(chan error, 1)
	require.NoError(t, n.Send(m, func(err error, _ time.Duration) { result <- err }))
	select {
	case err := <-result:
		return err
	case <-time.After(patience):
		require.Fail(t, "nothing came of the message")
		return nil
	}
}

func TestAMessageIsSentAsJSONThatSlackUnderstands(t *testing.T) {
	t.Parallel()
	h := newHook(t)
	n := notify.New(h.URL)
	run(t, n)
	require.NoError(t, send(t, n, notify.Message{
		ID: "a", Text: "isolated <web> & told @channel\x1b[2J", Host: "h", Policy: "p",
		Outcomes: []notify.Outcome{{Kind: "isolate", Target: "web", Phase: "done"}},
	}))
	var got map[string]any
	require.NoError(t, json.Unmarshal([]byte(h.got()[0]), &got))
	require.Equal(t, "isolated &lt;web&gt; &amp; told @\u2060channel [2J", got["text"])
	require.Equal(t, "p", got["policy"])
	require.Len(t, got["outcomes"], 1)
}

func TestWhatMayPassIsTriedAgainUnderTheSameID(t *testing.T) {
	t.Parallel()
	h := newHook(t, 500, 429, 503)
	n := notify.New(h.URL)
	n.SetPause(time.Millisecond)
	run(t, n)
	require.NoError(t, send(t, n, notify.Message{ID: "same"}))
	bodies := h.got()
	require.Len(t, bodies, 4)
	for _, body := range bodies {
		require.Equal(t, bodies[0], body)
	}
}

func TestItGivesUpAfterSixTries(t *testing.T) {
	t.Parallel()
	h := newHook(t, 500, 500, 500, 500, 500, 500, 500, 500)
	n := notify.New(h.URL)
	n.SetPause(time.Millisecond)
	run(t, n)
	require.ErrorContains(t, send(t, n, notify.Message{}), "500")
	require.Len(t, h.got(), 6)
}

func TestWhatWillNotPassIsNotTriedAgain(t *testing.T) {
	t.Parallel()
	for code, want := range map[int]string{404: "404 Not Found", 403: "403", 302: "redirects are not followed", 307: "redirects are not followed"} {
		h := newHook(t, code)
		n := notify.New(h.URL)
		run(t, n)
		require.ErrorContains(t, send(t, n, notify.Message{}), want)
		require.Len(t, h.got(), 1, "%d", code)
	}
}

func TestTheURLIsNeverTold(t *testing.T) {
	t.Parallel()
	n := notify.New("http://127.0.0.1:1/services/SECRET")
	n.SetPause(time.Millisecond)
	run(t, n)
	err := send(t, n, notify.Message{})
	require.ErrorContains(t, err, "webhook")
	require.NotContains(t, err.Error(), "SECRET")
}

func TestNoWebhookIsAFailureThatSaysSo(t *testing.T) {
	t.Parallel()
	n := notify.New("")
	require.False(t, n.Configured())
	run(t, n)
	require.ErrorContains(t, send(t, n, notify.Message{}), "container.webhook_url")
}

func TestAFullQueueNeverBlocks(t *testing.T) {
	t.Parallel()
	n := notify.New("http://127.0.0.1:1/")
	var err error
	for range 10_000 {
		if err = n.Send(notify.Message{}, func(error, time.Duration) {}); err != nil {
			break
		}
	}
	require.ErrorIs(t, err, notify.ErrFull)
	require.Equal(t, 256, n.Waiting())
}

func TestAStopSendsWhatItCanAndOwnsUpToTheRest(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	var served atomic.Int32
	slow := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		served.Add(1)
		select {
		case <-release:
		case <-r.Context().Done():
		}
		w.WriteHeader(http.StatusOK)
	}))
	t.Cleanup(func() { close(release); slow.Close() })
	n := notify.New(slow.URL)
	stop := run(t, n)
	results := make(chan error, 2)
	for range 2 {
		require.NoError(t, n.Send(notify.Message{}, func(err error, _ time.Duration) { results <- err }))
	}
	require.Eventually(t, func() bool { return served.Load() > 0 }, patience, time.Millisecond)
	stop()
	for range 2 {
		require.ErrorIs(t, <-results, notify.ErrStopped)
	}
}

func TestALongTextIsCut(t *testing.T) {
	t.Parallel()
	h := newHook(t)
	n := notify.New(h.URL)
	run(t, n)
	require.NoError(t, send(t, n, notify.Message{Text: strings.Repeat("x", 100_000)}))
	require.Less(t, len(h.got()[0]), 4000)
}

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("internal/poll.runtime_pollWait"), goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"))
}

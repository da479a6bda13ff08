package notify_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
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

// results receives how messages ended.
type results chan result

type result struct {
	note string
	err  error
}

func (r results) done(note json.RawMessage, err error, _ time.Duration) {
	r <- result{note: string(note), err: err}
}

// notifier returns one that retries at once.
func notifier(url string) (*notify.Notifier, results) {
	r := make(results, 1000)
	n := notify.New(url, r.done)
	n.SetRetryDelay(time.Millisecond)
	return n, r
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

// send queues a message and returns how it ended.
func send(t *testing.T, n *notify.Notifier, r results, m notify.Message) error {
	t.Helper()
	require.NoError(t, n.Send(m, m.ID))
	return r.next(t).err
}

func (r results) next(t *testing.T) result {
	t.Helper()
	select {
	case got := <-r:
		return got
	case <-time.After(patience):
		require.Fail(t, "the message has not ended")
		return result{}
	}
}

func TestMessageIsJSONThatSlackShows(t *testing.T) {
	t.Parallel()
	h := newHook(t)
	n, r := notifier(h.URL)
	run(t, n)
	require.NoError(t, send(t, n, r, notify.Message{
		ID: "a", Text: "isolated <web> & told @channel\x1b[2J", Host: "h", Policy: "p",
		Outcomes: []notify.Outcome{{Kind: "isolate", Target: "web", Phase: "done"}},
	}))
	var got map[string]any
	require.NoError(t, json.Unmarshal([]byte(h.got()[0]), &got))
	require.Equal(t, "isolated &lt;web&gt; &amp; told @\u2060channel [2J", got["text"])
	require.Equal(t, "p", got["policy"])
	require.Len(t, got["outcomes"], 1)
}

func TestTemporaryFailureIsRetriedWithTheSameID(t *testing.T) {
	t.Parallel()
	h := newHook(t, 500, 429, 503)
	n, r := notifier(h.URL)
	run(t, n)
	require.NoError(t, send(t, n, r, notify.Message{ID: "same"}))
	bodies := h.got()
	require.Len(t, bodies, 4)
	for _, body := range bodies {
		require.Equal(t, bodies[0], body)
	}
}

func TestMessageIsGivenUpAfterSixAttempts(t *testing.T) {
	t.Parallel()
	h := newHook(t, 500, 500, 500, 500, 500, 500, 500, 500)
	n, r := notifier(h.URL)
	run(t, n)
	require.ErrorContains(t, send(t, n, r, notify.Message{}), "500")
	require.Len(t, h.got(), 6)
}

func TestPermanentFailureIsNotRetried(t *testing.T) {
	t.Parallel()
	for code, want := range map[int]string{404: "404 Not Found", 403: "403", 302: "redirects are not followed", 307: "redirects are not followed"} {
		h := newHook(t, code)
		n, r := notifier(h.URL)
		run(t, n)
		require.ErrorContains(t, send(t, n, r, notify.Message{}), want)
		require.Len(t, h.got(), 1, "%d", code)
	}
}

func TestErrorsNeverShowTheURL(t *testing.T) {
	t.Parallel()
	n, r := notifier("http://127.0.0.1:1/services/SECRET")
	run(t, n)
	err := send(t, n, r, notify.Message{})
	require.ErrorContains(t, err, "webhook")
	require.NotContains(t, err.Error(), "SECRET")
}

func TestMissingWebhookFailsWithTheSetting(t *testing.T) {
	t.Parallel()
	n, r := notifier("")
	require.False(t, n.Configured())
	run(t, n)
	require.ErrorContains(t, send(t, n, r, notify.Message{}), "container.webhook_url")
}

func TestFailingMessageDelaysNoOther(t *testing.T) {
	t.Parallel()
	var failed atomic.Int32
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if body, _ := io.ReadAll(req.Body); strings.Contains(string(body), `"id":"fails"`) {
			failed.Add(1)
			w.WriteHeader(http.StatusInternalServerError)
		}
	}))
	t.Cleanup(hook.Close)
	n, r := notifier(hook.URL)
	n.SetRetryDelay(time.Hour) // the failing message is not due again in this test
	run(t, n)
	require.NoError(t, n.Send(notify.Message{ID: "fails"}, "fails"))
	require.Eventually(t, func() bool { return failed.Load() == 1 }, patience, time.Millisecond)
	require.NoError(t, n.Send(notify.Message{ID: "other"}, "other"))
	require.Equal(t, result{note: `"other"`}, r.next(t))
	require.Equal(t, 1, n.Pending())
}

func TestHangingRequestDelaysNoOther(t *testing.T) {
	t.Parallel()
	hangs := make(chan struct{})
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		if body, _ := io.ReadAll(req.Body); strings.Contains(string(body), `"id":"hangs"`) {
			close(hangs)
			<-req.Context().Done()
		}
	}))
	t.Cleanup(hook.Close)
	n, r := notifier(hook.URL)
	stop := run(t, n)
	require.NoError(t, n.Send(notify.Message{ID: "hangs"}, "hangs"))
	<-hangs
	require.NoError(t, n.Send(notify.Message{ID: "other"}, "other"))
	began := time.Now()
	require.Equal(t, result{note: `"other"`}, r.next(t))
	require.Less(t, time.Since(began), 5*time.Second, "a request may take 10 s")
	stop()
}

func TestNewURLTakesOverFromADeadWebhook(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	dead := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		_, _ = io.ReadAll(req.Body)
		asked.Add(1)
		<-req.Context().Done()
	}))
	t.Cleanup(dead.Close)
	h := newHook(t)
	n, r := notifier(dead.URL)
	n.SetRetryDelay(time.Hour)
	run(t, n)
	for i := range 10 {
		require.NoError(t, n.Send(notify.Message{ID: fmt.Sprint(i)}, i))
	}
	require.Eventually(t, func() bool { return asked.Load() > 0 }, patience, time.Millisecond)
	began := time.Now()
	n.SetURL(h.URL)
	for range 10 {
		require.NoError(t, r.next(t).err)
	}
	require.Less(t, time.Since(began), 5*time.Second, "requests to the old URL are given up")
	require.Len(t, h.got(), 10)
}

func TestLimitedWebhookIsPausedAsAWhole(t *testing.T) {
	t.Parallel()
	h := newHook(t, 429)
	n, r := notifier(h.URL)
	n.SetRetryDelay(time.Hour) // so paused for the rest of the test
	run(t, n)
	require.NoError(t, n.Send(notify.Message{ID: "a"}, "a"))
	require.Eventually(t, func() bool { return len(h.got()) == 1 }, patience, time.Millisecond)
	for i := range 20 {
		require.NoError(t, n.Send(notify.Message{ID: fmt.Sprint(i)}, i))
	}
	other := newHook(t)
	n.SetURL(other.URL) // the pause was that of the old one
	for range 21 {
		require.NoError(t, r.next(t).err)
	}
	require.LessOrEqual(t, len(h.got()), 1+3, "at most the requests under way when it answered 429")
}

func TestFullQueueRefusesAndNeverBlocks(t *testing.T) {
	t.Parallel()
	n, _ := notifier("http://127.0.0.1:1/")
	var err error
	for i := range 10_000 {
		if err = n.Send(notify.Message{ID: fmt.Sprint(i)}, nil); err != nil {
			break
		}
	}
	require.ErrorIs(t, err, notify.ErrFull)
	require.Equal(t, 256, n.Pending())
}

func TestNextStartSendsWhatAStopLeft(t *testing.T) {
	t.Parallel()
	box := t.TempDir()
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
	n, r := notifier(slow.URL)
	require.NoError(t, n.Open(box))
	stop := run(t, n)
	for i := range 3 {
		require.NoError(t, n.Send(notify.Message{ID: fmt.Sprint(i)}, i))
	}
	require.Eventually(t, func() bool { return served.Load() > 0 }, patience, time.Millisecond)
	stop()
	require.NoError(t, n.Close())
	require.Empty(t, r, "no message has ended yet")

	h := newHook(t)
	n, r = notifier(h.URL)
	require.NoError(t, n.Open(box))
	require.Equal(t, 3, n.Pending())
	require.NoError(t, n.Send(notify.Message{ID: "1"}, 1), "its alert is delivered again")
	run(t, n)
	require.ElementsMatch(t, []result{{note: "0"}, {note: "1"}, {note: "2"}}, []result{r.next(t), r.next(t), r.next(t)})
	require.Eventually(t, func() bool { return n.Pending() == 0 }, patience, time.Millisecond)
	require.Len(t, h.got(), 3)
	left, err := os.ReadDir(box)
	require.NoError(t, err)
	require.Empty(t, left)
}

func TestInvalidFilesAreRemovedFromTheOutbox(t *testing.T) {
	t.Parallel()
	box := t.TempDir()
	for name, content := range map[string]string{"a.json": "{", "b.json": "", "c.json": `{"at":1}`, ".d.json": `{"body":{}}`, "e": strings.Repeat("x", 2<<20)} {
		require.NoError(t, os.WriteFile(filepath.Join(box, name), []byte(content), 0o600))
	}
	n, _ := notifier("http://127.0.0.1:1/")
	require.NoError(t, n.Open(box))
	t.Cleanup(func() { require.NoError(t, n.Close()) })
	require.Zero(t, n.Pending())
	left, err := os.ReadDir(box)
	require.NoError(t, err)
	require.Empty(t, left)
}

func TestMessageIsSentWhenItCannotBeSaved(t *testing.T) {
	t.Parallel()
	box := filepath.Join(t.TempDir(), "gone")
	h := newHook(t)
	n, r := notifier(h.URL)
	require.NoError(t, n.Open(box))
	t.Cleanup(func() { require.NoError(t, n.Close()) })
	require.NoError(t, os.Remove(box))
	require.ErrorIs(t, n.Send(notify.Message{ID: "a"}, "a"), notify.ErrNotSaved)
	run(t, n)
	require.NoError(t, r.next(t).err)
	require.Len(t, h.got(), 1)
}

func TestSentMessageIsNotSentAgain(t *testing.T) {
	t.Parallel()
	h := newHook(t, 200, 404)
	n, r := notifier(h.URL)
	run(t, n)
	require.NoError(t, send(t, n, r, notify.Message{ID: "a"}))
	require.ErrorContains(t, send(t, n, r, notify.Message{ID: "b"}), "404")
	require.Eventually(t, func() bool { return n.Pending() == 0 }, patience, time.Millisecond)
	require.NoError(t, n.Send(notify.Message{ID: "a"}, "its alert is delivered again"))
	require.Zero(t, n.Pending())
	require.NoError(t, send(t, n, r, notify.Message{ID: "b"}), "it was given up, so it may be sent")
	require.Len(t, h.got(), 3)
}

func TestSendReturnsWhenTheMessageIsOnDisk(t *testing.T) {
	t.Parallel()
	box := t.TempDir()
	n, _ := notifier("http://127.0.0.1:1/")
	require.NoError(t, n.Open(box))
	t.Cleanup(func() { require.NoError(t, n.Close()) })
	results := make(chan error)
	for i := range 64 {
		go func() {
			id := fmt.Sprint(i / 4)
			err := n.Send(notify.Message{ID: id}, id)
			if err == nil {
				_, err = os.Stat(filepath.Join(box, notify.FileName(id)))
			}
			results <- err
		}()
	}
	for range 64 {
		require.NoError(t, <-results, "on disk when Send returns to any caller")
	}
	require.Equal(t, 16, n.Pending())
}

func TestLongTextIsShortened(t *testing.T) {
	t.Parallel()
	h := newHook(t)
	n, r := notifier(h.URL)
	run(t, n)
	require.NoError(t, send(t, n, r, notify.Message{Text: strings.Repeat("x", 100_000)}))
	require.Less(t, len(h.got()[0]), 4000)
}

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("internal/poll.runtime_pollWait"), goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"))
}

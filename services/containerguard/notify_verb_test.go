package containerguard_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/services/containerguard"
)

// testNotifiers runs VerbNotify on a guard with the webhook at url.
func testNotifiers(t *testing.T, url string) (*rig, containerguard.NotifyReply, error) {
	t.Helper()
	r := newRig(t)
	r.cfg.WebhookURL = url
	r.start()
	var reply containerguard.NotifyReply
	err := r.ask(containerguard.VerbNotify, nil, &reply)
	return r, reply, err
}

// awaitTest returns the action of the test in phase.
func awaitTest(r *rig, phase event.Phase) event.Action {
	r.t.Helper()
	var found event.Action
	require.True(r.t, eventually(func() bool {
		for _, a := range r.actions() {
			if a.Kind == "notify" && a.Policy == "operator" && a.Phase == phase {
				found = a
				return true
			}
		}
		return false
	}), "no %s action of the test", phase)
	return found
}

func TestNotifyTestSendsOneMarkedMessageInAnOperatorsName(t *testing.T) {
	t.Parallel()
	got := make(chan *json.Decoder, 10)
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		var body json.RawMessage
		_ = json.NewDecoder(req.Body).Decode(&body)
		got <- json.NewDecoder(strings.NewReader(string(body)))
	}))
	t.Cleanup(hook.Close)
	r, reply, err := testNotifiers(t, hook.URL)
	require.NoError(t, err)
	require.Len(t, reply.Notifiers, 1)
	require.Equal(t, "webhook", reply.Notifiers[0].Notifier)
	require.True(t, reply.Notifiers[0].Sent, reply.Notifiers[0].Error)
	var m struct {
		Text  string
		Test  bool
		Alert *event.Alert
	}
	require.NoError(t, (<-got).Decode(&m))
	require.True(t, m.Test)
	require.True(t, strings.HasPrefix(m.Text, "[TEST] Ironpost on testhost: "), m.Text)
	require.Nil(t, m.Alert)

	require.NotEmpty(t, awaitTest(r, event.Intended).Operator)
	require.NotEmpty(t, awaitTest(r, event.Done).Operator)
	err = r.ask(containerguard.VerbNotify, nil, &reply)
	require.ErrorContains(t, err, "try again in")
	require.Empty(t, got, "the second was refused")
}

func TestNotifyTestSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		code int
		want string
	}{
		"moved":   {http.StatusFound, "webhook answered 302 Found: redirects are not followed: check container.webhook_url"},
		"revoked": {http.StatusNotFound, "webhook answered 404 Not Found: check container.webhook_url"},
		"limited": {http.StatusTooManyRequests, "webhook answered 429 Too Many Requests: it takes no more messages for now; try again later"},
		"broken":  {http.StatusBadGateway, "webhook answered 502 Bad Gateway: the fault is at the webhook"},
		"away":    {0, "check container.webhook_url, and that this machine reaches it"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(tt.code) }))
			t.Cleanup(hook.Close)
			if tt.code == 0 {
				hook.Close()
			}
			r, reply, err := testNotifiers(t, hook.URL)
			require.NoError(t, err)
			require.Len(t, reply.Notifiers, 1)
			require.False(t, reply.Notifiers[0].Sent)
			require.Contains(t, reply.Notifiers[0].Error, tt.want)
			require.NotContains(t, reply.Notifiers[0].Error, hook.URL+"/")
			require.Contains(t, awaitTest(r, event.Failed).Error, tt.want)
		})
	}
}

func TestNotifyTestOfAHangingWebhookIsBounded(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		select {
		case <-release:
		case <-req.Context().Done():
		}
	}))
	t.Cleanup(func() { close(release); hook.Close() })
	r, reply, err := testNotifiers(t, hook.URL)
	require.NoError(t, err)
	require.False(t, reply.Notifiers[0].Sent)
	require.Contains(t, reply.Notifiers[0].Error, "it did not answer in time")
	awaitTest(r, event.Failed)
}

func TestNotifyTestWithoutANotifierNamesTheKey(t *testing.T) {
	t.Parallel()
	_, _, err := testNotifiers(t, "")
	require.ErrorContains(t, err, "set container.webhook_url or container.webhook_url_file")
}

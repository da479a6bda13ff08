package containerguard_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/event"
)

func TestNotificationListsOutcomes(t *testing.T) {
	t.Parallel()
	got := make(chan []byte, 10)
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		got <- body
	}))
	t.Cleanup(hook.Close)
	r := newRig(t)
	r.cfg.WebhookURL = hook.URL
	r.policy("p", `name = "Block them"`, `actions = ["notify", "block-source"]`)
	r.start()
	a := r.alert(func(a *event.Alert) {
		from("203.0.113.7")(a)
		a.Title = "<!channel>\nattack"
		a.User, a.LogHost, a.Evidence = "ro\not", "web-1", []string{"sshd: Failed <b>"}
	})
	r.publish(a)
	r.await(a, "notify done")
	var m struct {
		Text     string
		Outcomes []struct{ Kind, Phase string }
		Alert    event.Alert
	}
	require.NoError(t, json.Unmarshal(<-got, &m))
	require.Contains(t, m.Text, "[HIGH] &lt;!channel&gt;?attack on testhost, from 203.0.113.7, user ro?ot\nHost in the line: web-1\nLine: sshd: Failed &lt;b&gt;\nOrigin: kernel, packets, eth0\nPolicy: Block them\n• block-source address:203.0.113.7: done")
	require.True(t, strings.HasSuffix(m.Text, "\nMore: ironpost alerts show "+event.ShortID(a.ID)), m.Text)
	require.Equal(t, a.ID, m.Alert.ID)
	require.Equal(t, []struct{ Kind, Phase string }{{"block-source", "done"}}, m.Outcomes)
}

func TestHangingWebhookDelaysNoAction(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		select {
		case <-release:
		case <-req.Context().Done():
		}
	}))
	t.Cleanup(func() { close(release); hook.Close() })
	r := newRig(t)
	r.cfg.WebhookURL = hook.URL
	r.policy("p", `actions = ["notify", "block-source"]`)
	r.start()
	for i := range 20 {
		a := r.alert(from(fmt.Sprint("203.0.113.", i)))
		r.publish(a)
		r.await(a, "block-source done")
	}
}

// What is done after it waited is told in a further message.
func TestLateAnswerIsNotified(t *testing.T) {
	t.Parallel()
	texts := make(chan string, 10)
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		var m struct{ Text string }
		_ = json.NewDecoder(req.Body).Decode(&m)
		texts <- m.Text
	}))
	t.Cleanup(hook.Close)
	r := newRig(t)
	r.cfg.WebhookURL, r.cfg.MaxBlocks = hook.URL, 1
	r.policy("p", `actions = ["notify", "block-source"]`)
	s := r.start()
	first, capped := r.alert(from("203.0.113.1")), r.alert(from("203.0.113.2"))
	r.publish(first)
	require.Contains(t, <-texts, "203.0.113.1: done")
	r.publish(capped)
	require.Contains(t, <-texts, "203.0.113.2: skipped (cap: ")
	roomier := r.cfg
	roomier.MaxBlocks = 2
	commit, err := s.PrepareReload(t.Context(), roomier)
	require.NoError(t, err)
	commit()
	require.Contains(t, <-texts, "203.0.113.2: done")
}

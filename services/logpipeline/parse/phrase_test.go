package parse

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestPhrases(t *testing.T) {
	t.Parallel()
	table := compile(
		form{"Invalid user {user*} from {src}[[ port {port}]]", "invalid_user", ""},
		form{"Closed {src} port {port}: {reason*}", "closed", "late method=x"},
		form{"One {word}.", "one", ""},
	)
	for _, c := range []struct {
		message string
		want    string // action user source port reason
	}{
		{"Invalid user bob from 192.0.2.1 port 7", "invalid_user bob 192.0.2.1 7 "},
		{"Invalid user  from 192.0.2.1", "invalid_user  192.0.2.1 0 "},
		{"Invalid user a from 192.0.2.9 port 1 from 192.0.2.1 port 7", "invalid_user a from 192.0.2.9 port 1 192.0.2.1 7 "},
		{"Invalid user a from 192.0.2.1 port 70000", ""},
		{"Invalid user a", ""},
		{"Closed 192.0.2.1 port 7: Closed 192.0.2.9 port 1: x", "closed  192.0.2.1 7 Closed 192.0.2.9 port 1: x"},
		{"Closed by 192.0.2.1 port 7: x", ""},
		{"One two.", "one   0 "},
		{"One two three.", ""},
		{"One two. ", ""},
		{"", ""},
	} {
		ev := New(Options{}).newEvent(time.Time{}, Input{})
		if !table.parse(&ev, c.message) {
			require.Empty(t, c.want, c.message)
			require.Empty(t, ev.Fields.Map())
			continue
		}
		source := ""
		if ev.SourceIP.IsValid() {
			source = ev.SourceIP.String()
		}
		got := strings.Join([]string{ev.text("action"), ev.User, source, fmt.Sprint(ev.SourcePort), ev.text("reason")}, " ")
		require.Equal(t, c.want, got, c.message)
	}
}

func TestPatternsThatAreAmbiguousPanic(t *testing.T) {
	t.Parallel()
	for _, pattern := range []string{"a {b}{c}", "a {b}{c*}", "a {b*}{c}", "{a} b", "{a*}"} {
		require.Panics(t, func() { compile(form{pattern, "x", ""}) }, pattern)
	}
}

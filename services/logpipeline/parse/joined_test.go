package parse_test

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/services/logpipeline/audit"
	"github.com/ironpost/ironpost/services/logpipeline/parse"
)

// testdata/joined/auditd.txt holds records of audit.log, and below each the events that it finishes. A comment ends what is not finished.
func TestJoinedSamples(t *testing.T) {
	t.Parallel()
	const file = "testdata/joined/auditd.txt"
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	var out strings.Builder
	var joiner audit.Joiner
	write := func(done []audit.Group) {
		for i := range done {
			for _, ev := range parse.JoinAudit(&done[i]) {
				out.WriteString(describe(ev))
			}
		}
	}
	lines := bufio.NewScanner(strings.NewReader(string(want)))
	for lines.Scan() {
		line, isSample := strings.CutPrefix(lines.Text(), "> ")
		switch {
		case isSample:
			fmt.Fprintf(&out, "> %s\n", line)
			ev := read(line)
			require.NotNil(t, ev.Audit, line)
			write(joiner.Add(ev.Audit, audit.Line{Text: ev.Audit.Text, Position: line, Host: ev.Host, Sender: ev.Host}))
		case strings.HasPrefix(lines.Text(), "# "):
			write(joiner.Expire(time.Now()))
			fmt.Fprintf(&out, "\n%s\n", lines.Text())
		}
	}
	write(joiner.Expire(time.Now()))
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(out.String()), 0o644))
		return
	}
	require.Equal(t, string(want), out.String())
}

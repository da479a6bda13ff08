package suite_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// checked runs the program with --check.
func (i *instance) checked() (code int, out string) {
	var stdout bytes.Buffer
	p := i.process("--check")
	p.Stdout = &stdout
	code = p.Run(context.Background())
	return code, stdout.String()
}

func TestCheckIsTheHealthOfTheRunningInstance(t *testing.T) {
	t.Parallel()
	i := install(t, allOff)
	code, _ := i.checked()
	require.Equal(t, 1, code, "it does not run")
	require.Contains(t, i.stderr.String(), "no answer from metrics.listen")
	i.start()
	code, out := i.checked()
	require.Equal(t, []any{0, "healthy\n"}, []any{code, out})
	require.Zero(t, i.stop())

	i = install(t, allOff)
	i.replace("[collector]", fmt.Sprintf("[container]\nenabled = true\ndocker_socket = %q\npolicy_path = %q\n[collector]", i.dir+"/none.sock", t.TempDir()))
	i.start()
	require.Eventually(t, func() bool {
		code, out = i.checked()
		return code == 6 && strings.Contains(out, "container-guard is degraded: ")
	}, patience, 20*time.Millisecond, out)
	require.Zero(t, i.stop())
}

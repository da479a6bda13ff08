package logging_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/internal/logging"
)

// hostile are texts that an attacker may put into a line we log.
var hostile = map[string]string{
	"newline forges a line":  "x\n2026-01-01 ERROR forged",
	"carriage return":        "real\rforged",
	"clear screen":           "\x1b[2J\x1b[H",
	"window title":           "\x1b]0;owned\x07",
	"C1 CSI":                 "\u009b31mred",
	"raw C1 byte":            "\x9b31m",
	"bidi override":          "user\u202egnp.exe",
	"bidi isolate":           "\u2066a\u2069",
	"zero width":             "adm\u200bin",
	"line separator":         "a\u2028b\u2029c",
	"tag characters":         "a\U000e0041b",
	"delete":                 "a\x7fb",
	"nul":                    "a\x00b",
	"invalid utf-8":          "\xff\xfe\xc3(",
	"quotes and backslashes": `a"b\c`,
}

func line(t testing.TB, opts logging.Options, log func(logrus.FieldLogger)) string {
	t.Helper()
	var out bytes.Buffer
	l, err := logging.New(&out, opts)
	require.NoError(t, err)
	log(l)
	return out.String()
}

func requireHarmless(t testing.TB, out string) {
	t.Helper()
	require.True(t, utf8.ValidString(out))
	require.True(t, strings.HasSuffix(out, "\n"))
	for _, r := range strings.TrimSuffix(out, "\n") {
		require.Truef(t, unicode.IsPrint(r), "%U in %q", r, out)
	}
}

func TestHostileTextIsEscapedEverywhere(t *testing.T) {
	t.Parallel()
	for name, text := range hostile {
		for _, format := range []string{logging.JSON, logging.Pretty} {
			t.Run(format+" "+name, func(t *testing.T) {
				t.Parallel()
				requireHarmless(t, line(t, logging.Options{Level: "info", Format: format}, func(l logrus.FieldLogger) {
					l.WithError(errors.New(text)).WithField(text, text).WithField("list", []string{text}).
						WithField("stringer", stringer(text)).Info(text)
				}))
			})
		}
	}
}

type stringer string

func (s stringer) String() string { return string(s) }

func FuzzFormattersEscapeEverything(f *testing.F) {
	for _, text := range hostile {
		f.Add(text, text)
	}
	f.Fuzz(func(t *testing.T, key, text string) {
		for _, format := range []string{logging.JSON, logging.Pretty} {
			out := line(t, logging.Options{Level: "info", Format: format}, func(l logrus.FieldLogger) {
				l.WithField(key, text).Info(text)
			})
			requireHarmless(t, out)
			if format == logging.JSON {
				require.True(t, json.Valid([]byte(out)), out)
			}
		}
	})
}

func TestJSONRoundTrips(t *testing.T) {
	t.Parallel()
	out := line(t, logging.Options{Level: "info", Format: logging.JSON}, func(l logrus.FieldLogger) {
		l.WithFields(logrus.Fields{
			"text": "user\u202egnp.exe \U000e0041", "number": 7, "level": "mine", "took": 1500 * time.Millisecond,
			"error": errors.New("broken"), "list": []string{"a", "b"},
		}).Warn("something happened")
	})
	var got map[string]any
	require.NoError(t, json.Unmarshal([]byte(out), &got))
	require.Equal(t, "user\u202egnp.exe \U000e0041", got["text"])
	require.Equal(t, "warning", got["level"])
	require.Equal(t, "mine", got["field_level"])
	require.Equal(t, "something happened", got["msg"])
	require.Equal(t, "1.5s", got["took"])
	require.Equal(t, "broken", got["error"])
	require.InEpsilon(t, 7, got["number"], 0)
	require.Equal(t, []any{"a", "b"}, got["list"])
	_, err := time.Parse(time.RFC3339Nano, got["time"].(string))
	require.NoError(t, err)
}

func TestJSONWritesUnencodableValuesAsText(t *testing.T) {
	t.Parallel()
	for name, v := range map[string]any{
		"nan": math.NaN(), "channel": make(chan int), "nil error": error(nil), "nil pointer": (*time.Time)(nil),
		"typed nil stringer": (*stringer)(nil),
	} {
		out := line(t, logging.Options{Level: "info", Format: logging.JSON}, func(l logrus.FieldLogger) {
			l.WithField("value", v).Info("odd")
		})
		require.True(t, json.Valid([]byte(out)), "%s: %s", name, out)
	}
}

func TestLongValuesAreCut(t *testing.T) {
	t.Parallel()
	huge := strings.Repeat("é\n", 1<<19)
	for _, format := range []string{logging.JSON, logging.Pretty} {
		out := line(t, logging.Options{Level: "info", Format: format}, func(l logrus.FieldLogger) {
			l.WithField("text", huge).WithField("list", []string{huge}).Info("long")
		})
		require.Less(t, len(out), 200<<10)
		require.Contains(t, out, "bytes more")
		requireHarmless(t, out)
	}
}

func TestPrettyFormat(t *testing.T) {
	t.Parallel()
	out := line(t, logging.Options{Level: "info", Format: logging.Pretty}, func(l logrus.FieldLogger) {
		l.WithFields(logrus.Fields{"module": "log-pipeline", "reason": "no such file", "empty": ""}).Warn("module degraded")
	})
	require.Regexp(t, `^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} WARN  module degraded {17,18} empty="" module=log-pipeline reason="no such file"\n$`, out)
}

func TestColourIsOnlyOnTheLevel(t *testing.T) {
	t.Parallel()
	out := line(t, logging.Options{Level: "info", Format: logging.Pretty, Colour: true}, func(l logrus.FieldLogger) {
		l.Info("\x1b[31m")
	})
	require.Equal(t, 2, strings.Count(out, "\x1b"), out)
}

func TestLevelChangesWhileInUse(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	l, err := logging.New(&out, logging.Options{Level: "error", Format: logging.Pretty})
	require.NoError(t, err)
	var wg sync.WaitGroup
	wg.Go(func() {
		for range 1000 {
			l.Info("quiet or not")
		}
	})
	require.NoError(t, logging.Apply(l, logging.Options{Level: "debug", Format: logging.JSON}))
	wg.Wait()
	l.Debug("now heard")
	require.Contains(t, out.String(), "now heard")

	require.Error(t, logging.Apply(l, logging.Options{Level: "info", Format: "xml"}))
	require.Equal(t, logrus.DebugLevel, l.GetLevel(), "a refused change changes nothing")
}

func TestUnknownNamesAreRefusedWithTheKnownOnes(t *testing.T) {
	t.Parallel()
	_, err := logging.New(&bytes.Buffer{}, logging.Options{Level: "loud", Format: logging.JSON})
	require.EqualError(t, err, `log level "loud" is none of trace, debug, info, warn, error`)
	_, err = logging.New(&bytes.Buffer{}, logging.Options{Level: "info", Format: "xml"})
	require.EqualError(t, err, `log format "xml" is none of json, pretty`)
}

func ExampleNew() {
	var out bytes.Buffer
	log, _ := logging.New(&out, logging.Options{Level: "info", Format: logging.Pretty})
	log.WithField("line", "sshd: \x1b[2J").Info("line read")
	fmt.Println(out.String()[len("2026-01-02 15:04:05.000 "):])
	// Output: INFO  line read                        line="sshd: \x1b[2J"
}

// The journal shows the time itself and filters by priority (journalctl -p).
func TestPrettyFormatForTheJournal(t *testing.T) {
	t.Parallel()
	for level, want := range map[logrus.Level]string{logrus.ErrorLevel: "<3>ERROR ", logrus.WarnLevel: "<4>WARN  ", logrus.InfoLevel: "<6>INFO  ", logrus.DebugLevel: "<7>DEBUG "} {
		out := line(t, logging.Options{Level: "debug", Format: logging.Pretty, Journal: true}, func(l logrus.FieldLogger) {
			l.WithField("n", 1).Log(level, "hello\n<0>")
		})
		require.True(t, strings.HasPrefix(out, want+"hello"), out)
		require.Equal(t, 1, strings.Count(out, "\n"), out)
	}
}

package syslog

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// frames returns the messages of a stream that arrives in chunks of these sizes,
// repeated, and then ends.
func frames(stream []byte, limit int, sizes ...int) (msgs []string, err error) {
	msgs, _, err = framesWrong(stream, limit, sizes...)
	return msgs, err
}

// framesWrong returns how many counts were wrong, too.
func framesWrong(stream []byte, limit int, sizes ...int) (msgs []string, wrong int, err error) {
	f := &framer{max: limit, emit: func(msg []byte, cut bool) error {
		msgs = append(msgs, fmt.Sprintf("%s/%v", msg, cut))
		return nil
	}}
	for i := 0; len(stream) > 0; i++ {
		n := min(max(1, sizes[i%len(sizes)]), len(stream))
		if err := f.feed(bytes.Clone(stream[:n])); err != nil {
			return msgs, f.wrong, err
		}
		stream = stream[n:]
	}
	err = f.finish()
	return msgs, f.wrong, err
}

func TestFraming(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		stream string
		want   []string
		err    error
	}{
		"newline":                 {stream: "<34>a\n<34>b\n", want: []string{"<34>a/false", "<34>b/false"}},
		"nul":                     {stream: "<34>a\x00<34>b\x00", want: []string{"<34>a/false", "<34>b/false"}},
		"carriage return":         {stream: "<34>a\r\n", want: []string{"<34>a/false"}},
		"counted":                 {stream: "5 <34>a6 <34>bc", want: []string{"<34>a/false", "<34>bc/false"}},
		"counted with newline in": {stream: "7 <34>a\nb<34>c\n", want: []string{"<34>a\nb/false", "<34>c/false"}},
		"counted and newline":     {stream: "5 <34>a\n<34>b\n5 <34>c", want: []string{"<34>a/false", "<34>b/false", "<34>c/false"}},
		"no end":                  {stream: "<34>a\n<34>b", want: []string{"<34>a/false", "<34>b/false"}},
		"counted without its end": {stream: "9 <34>a", want: []string{"<34>a/true"}},
		"empty frames":            {stream: "\n\n\x00<34>a\n\n", want: []string{"<34>a/false"}},
		"a year is not a count":   {stream: "2026-11-23 a\n2026 Nov 23\n", want: []string{"2026-11-23 a/false", "2026 Nov 23/false"}},
		"a leading zero":          {stream: "05 <34>a\n", want: []string{"05 <34>a/false"}},
		"negative":                {stream: "-5 <34>a\n", want: []string{"-5 <34>a/false"}},
		"impossible":              {stream: "100000000000000000000 <34>a", err: errFraming},
		"too large":               {stream: "1048577 <34>a", err: errFraming},
		"only digits":             {stream: strings.Repeat("7", 50) + "\n", want: []string{strings.Repeat("7", 40) + "/true"}},
		"long line":               {stream: strings.Repeat("x", 100) + "\n<34>a\n", want: []string{strings.Repeat("x", 40) + "/true", "<34>a/false"}},
		"long counted":            {stream: "100 <34>" + strings.Repeat("x", 96) + "<34>a\n", want: []string{"<34>" + strings.Repeat("x", 36) + "/true", "<34>a/false"}},
		"bad utf-8":               {stream: "<34>\xff\xfe\n", want: []string{"<34>\xff\xfe/false"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, size := range []int{1, 2, 3, 7, 1000} {
				got, err := frames([]byte(c.stream), 40, size)
				require.ErrorIs(t, err, c.err)
				require.Equal(t, c.want, got, "in chunks of %d", size)
			}
		})
	}
}

func FuzzFraming(f *testing.F) {
	f.Add([]byte("5 <34>a<34>b\n2026 x\n\x00 9 <"), uint8(1), uint8(7))
	f.Add([]byte("99999999999999999999999 <34>a"), uint8(3), uint8(2))
	f.Add([]byte("7 <34>ab17 <34>ab17 <34>ab5 <34>é17 <34>a20 <34>b7 <34>c"), uint8(30), uint8(5))
	f.Add([]byte("1 <7 <000001010 <00>000000"), uint8(30), uint8(21)) // a count that is too high behind one that was too low
	f.Fuzz(func(t *testing.T, stream []byte, a, b uint8) {
		whole, wrong, wholeErr := framesWrong(stream, 64, len(stream))
		split, splitWrong, splitErr := framesWrong(stream, 64, int(a), int(b))
		if wrong == 0 && splitWrong == 0 { // how much follows a wrong count says where the message ends
			require.Equal(t, whole, split)
			require.Equal(t, wholeErr, splitErr)
		}
		for _, m := range whole {
			require.LessOrEqual(t, len(m), 64+len("/false"))
		}
	})
}

// Each byte is compared once for each kind of frame end, also when a chunk is full of
// the other kind.
func TestFramingIsLinear(t *testing.T) {
	t.Parallel()
	var many, one time.Duration
	for range 5 { // a busy machine spoils a measurement; a quadratic cost fails each of them
		many, one = framingCost(t, 8<<10, 8), framingCost(t, 64<<10, 1)
		if one < 4*many {
			return
		}
	}
	require.Less(t, one, 4*many, "eight times the bytes at once: %s then %s", many, one)
}

// framingCost is the shortest of several times that n frames took, fed this many times.
// Costs that are compared take about equally long: a busy machine interrupts both.
func framingCost(t *testing.T, n, times int) time.Duration {
	t.Helper()
	stream, best := bytes.Repeat([]byte("a\x00"), n), time.Hour
	for range 20 {
		f := &framer{max: 64, emit: func([]byte, bool) error { return nil }}
		began := time.Now()
		for range times {
			require.NoError(t, f.feed(stream))
		}
		best = min(best, time.Since(began))
	}
	return best
}

func BenchmarkFraming(b *testing.B) {
	msg := "<34>1 2026-11-23T10:00:00Z host sshd 123 - - Failed password for root from 192.0.2.1 port 22 ssh2"
	for name, frame := range map[string]string{"newline": msg + "\n", "counted": fmt.Sprintf("%d %s", len(msg), msg)} {
		b.Run(name, func(b *testing.B) {
			stream := []byte(strings.Repeat(frame, 100))
			f := &framer{max: DefaultMaxMessage, emit: func([]byte, bool) error { return nil }}
			b.SetBytes(int64(len(stream)))
			b.ReportAllocs()
			for b.Loop() {
				if err := f.feed(stream); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

package logpipeline

import (
	"time"

	"github.com/ironpost/ironpost/internal/metrics"
	"github.com/ironpost/ironpost/services/logpipeline/inputstats"
)

// The metrics of each input.
const (
	inputLines   = "input_lines_total"
	inputDecoded = "input_decoded_lines_total"
	inputOdd     = "input_odd_lines_total"
	inputLost    = "input_lost_total"
	inputSilence = "input_last_line_age_seconds"
)

func describeInputs(d metrics.Described) {
	d[inputLines] = []string{"Lines taken from each input, over restarts.", "input"}
	d[inputDecoded] = []string{"Lines of each input by format, or unparsed, empty or unreadable.", "input", "format"}
	d[inputOdd] = []string{"Lines of each input that are late, in the future, or truncated.", "input", "what"}
	d[inputLost] = []string{"What was lost of each input before it was read, by cause, which names the unit.", "input", "cause"}
	d[inputSilence] = []string{"Age of the newest line of each input that has brought one.", "input"}
}

// sendInputs sends the metrics of the inputs, of which there are at most inputstats.MaxInputs and one for the rest.
func (s *Service) sendInputs(to metrics.Sink) {
	for _, in := range s.inputStats.All() {
		sendInput(to, in)
	}
	for input, age := range s.inputStats.Silences(time.Now()) {
		to.Gauge(inputSilence, age.Seconds(), input.String())
	}
}

func sendInput(to metrics.Sink, in inputstats.Input) {
	name := in.String()
	to.Count(inputLines, float64(in.Lines), name)
	for format, n := range in.Formats {
		to.Count(inputDecoded, float64(n), name, format)
	}
	for format, n := range map[string]uint64{"unparsed": in.Unparsed, "empty": in.Empty, "unreadable": in.Unreadable} {
		to.Count(inputDecoded, float64(n), name, format)
	}
	for what, n := range map[string]uint64{"late": in.Late, "future": in.Future, "truncated": in.Truncated} {
		to.Count(inputOdd, float64(n), name, what)
	}
	for cause, n := range in.Lost {
		to.Count(inputLost, float64(n), name, cause)
	}
}

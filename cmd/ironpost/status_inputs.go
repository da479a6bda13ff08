package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/services/logpipeline"
	"github.com/ironpost/ironpost/services/logpipeline/inputstats"
)

// inputStatus is what an input of the log pipeline on a host brought.
type inputStatus struct {
	Host string `json:"host"`
	inputstats.Input
}

// chosenInputs is what sources = ["auto"] of a host found to read.
type chosenInputs struct {
	Host   string `json:"host"`
	Inputs string `json:"inputs"`
}

// printChosen says what each host found to read, in 80 columns.
func (a *app) printChosen(all []chosenInputs) {
	const width = 80
	for _, c := range all {
		a.printf("%s", strings.Join(wrap(clean("Inputs found on "+c.Host+": "+c.Inputs), width-2), "\n  "))
	}
	if len(all) > 0 {
		a.printf("")
	}
}

// requestInputs asks each log pipeline for its inputs. One of an older version, or one that has not started, has no answer.
func (o *overview) requestInputs(ctx context.Context, conn *bus.Conn) {
	for _, m := range o.Modules {
		if m.Name != bus.LogPipeline || !m.Enabled {
			continue
		}
		var reply logpipeline.InputsReply
		if err := conn.Request(ctx, bus.VerbSubject(m.Name, m.Host, logpipeline.VerbInputs), nil, &reply); err != nil {
			continue
		}
		if reply.Chosen != "" {
			o.Chosen = append(o.Chosen, chosenInputs{m.Host, reply.Chosen})
		}
		for _, in := range reply.Inputs {
			o.Inputs = append(o.Inputs, inputStatus{Host: m.Host, Input: in})
		}
	}
}

// inputTable shows the inputs, those that lost something first, in 80 columns.
func (a *app) inputTable(inputs []inputStatus) rows {
	t := rows{columns: []column{{"INPUT", 27}, {"LINES", 7}, {"FORMATS", 16}, {"UNPARSED", 8}, {"LAST", 8}, {"LOST", 40}}}
	hosts := map[string]bool{}
	for _, in := range inputs {
		hosts[in.Host] = true
	}
	sorted := slices.Clone(inputs)
	slices.SortStableFunc(sorted, func(x, y inputStatus) int { return cmp.Compare(min(len(y.Lost), 1), min(len(x.Lost), 1)) })
	for _, in := range sorted {
		name := in.String()
		if len(hosts) > 1 {
			name = in.Host + " " + name
		}
		t.add(keepEnd(clean(name), t.columns[0].most), shortNumber(in.Lines), formatsOf(in.Counts), unparsedShare(in.Counts), a.when(in.Last, a.time), lostOf(in.Counts))
	}
	return t
}

// printTimes says of which inputs the times were odd, and which zones were learned.
func (a *app) printTimes(inputs []inputStatus) {
	for _, in := range inputs {
		var said []string
		if in.Timezone != "" && in.Timezone != "Local" {
			said = append(said, "times of "+in.Timezone+" (learned)")
		}
		if in.Late > 0 {
			said = append(said, shortNumber(in.Late)+" lines late")
		}
		if in.Future > 0 {
			said = append(said, shortNumber(in.Future)+" lines in the future")
		}
		if len(said) > 0 {
			a.printf("%s", clean(in.Host+" "+in.String()+": "+strings.Join(said, ", ")))
		}
	}
}

// shortNumber formats n in at most 6 characters.
func shortNumber(n uint64) string {
	if n < 1_000_000 {
		return strconv.FormatUint(n, 10)
	}
	const units = "MGTPE"
	f := float64(n) / 1e6
	i := 0
	for ; f >= 1000 && i < len(units)-1; i++ {
		f /= 1000
	}
	return fmt.Sprintf("%.1f%c", f, units[i])
}

// formatsOf returns the formats of the lines, the most frequent first.
func formatsOf(c inputstats.Counts) string {
	names := slices.SortedFunc(maps.Keys(c.Formats), func(x, y string) int {
		return cmp.Or(cmp.Compare(c.Formats[y], c.Formats[x]), strings.Compare(x, y))
	})
	return cmp.Or(strings.Join(names, " "), "-")
}

func unparsedShare(c inputstats.Counts) string {
	switch {
	case c.Unparsed == 0:
		return "0%"
	case c.Unparsed*100 < c.Lines:
		return "<1%"
	}
	return strconv.FormatUint(c.Unparsed*100/max(c.Lines, 1), 10) + "%"
}

// lostOf sums what was lost by its unit, which is the second word of a cause, such as lost_bytes_rotated.
func lostOf(c inputstats.Counts) string {
	units := map[string]uint64{}
	for cause, n := range c.Lost {
		if words := strings.SplitN(cause, "_", 3); len(words) == 3 {
			units[words[1]] += n
		}
	}
	var out []string
	for _, unit := range slices.Sorted(maps.Keys(units)) {
		if unit == "bytes" {
			out = append(out, byteSize(units[unit]))
			continue
		}
		out = append(out, strconv.FormatUint(units[unit], 10)+" "+unit)
	}
	if c.Truncated > 0 {
		out = append(out, strconv.FormatUint(c.Truncated, 10)+" cut")
	}
	return cmp.Or(strings.Join(out, ", "), "-")
}

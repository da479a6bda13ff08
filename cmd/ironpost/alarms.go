package main

import (
	"cmp"
	"regexp"
	"slices"
	"strings"

	"github.com/ironpost/ironpost/docs"
	"github.com/ironpost/ironpost/event"
)

// alarm is one row of the table of alarms in docs/operations.md.
type alarm struct {
	texts  []*regexp.Regexp // what status says; a group matches the amount
	weight []int            // of each of texts: how many letters of it are fixed
	topics []string
	advice string
}

// alarms are the rows of the table by module; those under "" are of every module.
type alarms map[string][]alarm

var (
	alarmTopic   = regexp.MustCompile("\\((?:of the row|row|a remark|[^()`]*topics?) [^()]*\\)")
	alarmQuoted  = regexp.MustCompile("`([^`]+)`")
	alarmLink    = regexp.MustCompile(`\[([^\]]*)\]\(([^)#]*)(#[^)]*)?\)`)
	alarmNumber  = regexp.MustCompile(`\bN\b`)
	alarmModules = regexp.MustCompile(`[a-z]+(?:-[a-z]+)*`)
)

// leastFixed is how many fixed letters the text of a row must have; with fewer it would match anything.
const leastFixed = 6

// readAlarms reads the table of docs/operations.md.
func readAlarms(page string) alarms {
	out := alarms{}
	_, page, _ = strings.Cut(page, "\n## Alarms\n")
	for _, section := range strings.Split(page, "\n### ")[1:] {
		title, rest, _ := strings.Cut(section, "\n")
		modules := []string{""}
		if title != "Every module" {
			modules = modules[:0]
			for _, word := range alarmModules.FindAllString(title, -1) {
				modules = append(modules, word)
			}
		}
		for line := range strings.Lines(rest) {
			row, ok := readAlarm(strings.TrimSpace(line))
			if !ok {
				continue
			}
			for _, m := range append(slices.Clone(modules), row.topics...) { // a row may be about another module of that name
				out[m] = append(out[m], row)
			}
		}
	}
	return out
}

// readAlarm reads one row, which is no heading.
func readAlarm(line string) (alarm, bool) {
	cells := strings.Split(strings.Trim(line, "|"), " | ")
	if !strings.HasPrefix(line, "| ") || len(cells) != 3 || strings.TrimSpace(cells[0]) == "status says" {
		return alarm{}, false
	}
	var a alarm
	a.advice = cellText(cells[2])
	for _, note := range alarmTopic.FindAllString(cells[0], -1) {
		for _, m := range alarmQuoted.FindAllStringSubmatch(note, -1) {
			a.topics = append(a.topics, m[1])
		}
	}
	for text := range strings.SplitSeq(alarmTopic.ReplaceAllString(cells[0], ""), "; ") {
		text = strings.TrimSpace(text)
		if fixed := strings.TrimSpace(strings.ReplaceAll(text, "…", "")); len(fixed) >= leastFixed {
			a.texts, a.weight = append(a.texts, alarmText(text)), append(a.weight, len(fixed))
		}
	}
	return a, true
}

// alarmText returns what matches a text of the table: … stands for anything, N for the amount.
func alarmText(text string) *regexp.Regexp {
	pattern := strings.ReplaceAll(regexp.QuoteMeta(strings.Trim(text, "… ")), "…", ".*")
	if at := alarmNumber.FindStringIndex(pattern); at != nil {
		pattern = pattern[:at[0]] + `(\d+)` + pattern[at[1]:]
		pattern = alarmNumber.ReplaceAllString(pattern, `\d+`)
	}
	return regexp.MustCompile("(?s)" + pattern)
}

// cellText returns a cell of the table without its Markdown.
func cellText(cell string) string {
	cell = alarmLink.ReplaceAllStringFunc(strings.TrimSpace(cell), func(link string) string {
		m := alarmLink.FindStringSubmatch(link)
		if m[2] == "" {
			return m[1]
		}
		return m[1] + " (docs/" + strings.TrimPrefix(m[2], "../docs/") + ")"
	})
	return strings.ReplaceAll(cell, "`", "")
}

// find returns what to do about a reason of module, and the amount in it, "unknown" if it says so, "" if the table does not know them. Of several rows that
// match, that with the most fixed text counts; a topic counts where no text does.
func (a alarms) find(module string, r event.Reason) (advice, amount string) {
	best := 0
	for _, row := range append(a[""], a[module]...) {
		for i, text := range row.texts {
			m := text.FindStringSubmatch(r.Text)
			if m == nil || row.weight[i] <= best {
				continue
			}
			best, advice, amount = row.weight[i], row.advice, ""
			switch {
			case len(m) > 1:
				amount = m[1]
			case strings.Contains(text.String(), "unknown"):
				amount = "unknown"
			}
		}
	}
	if best > 0 {
		return advice, amount
	}
	for _, row := range append(a[""], a[module]...) {
		for _, topic := range row.topics {
			if topic == strings.TrimSpace(r.Topic) || topic == strings.TrimSpace(strings.TrimLeft(r.Topic, "0123456789")) {
				return row.advice, ""
			}
		}
	}
	return "", ""
}

// explained is a reason with what the table says about it.
type explained struct {
	event.Reason
	Amount string `json:"amount,omitempty"`
	Advice string `json:"advice,omitempty"`
}

// explain returns the reasons of m. A module of an older version says since when it has its status, not each of its reasons.
func explain(table alarms, m event.ModuleHealth) []explained {
	details := m.Details
	if len(details) == 0 {
		for _, text := range m.Reasons {
			details = append(details, event.Reason{Status: m.Status, Text: text, Since: m.Since})
		}
	}
	var out []explained
	for _, d := range details {
		e := explained{Reason: d}
		e.Advice, e.Amount = table.find(m.Name, d)
		out = append(out, e)
	}
	return out
}

// operationsAlarms returns the table of this version.
func operationsAlarms() alarms { return readAlarms(docs.Operations) }

// moduleStatus is a module in the --json of status: its status is "off" if it is disabled, as in the table.
type moduleStatus struct {
	event.ModuleHealth
	Status  string      `json:"status"`
	Details []explained `json:"details,omitempty"`
}

const statusOff = "off"

// statusWord returns the status of m as it is shown.
func statusWord(m event.ModuleHealth) string {
	if !m.Enabled {
		return statusOff
	}
	return m.Status.String()
}

// shownModules returns the modules as --json shows them.
func shownModules(modules []event.ModuleHealth) []moduleStatus {
	table, out := operationsAlarms(), []moduleStatus{}
	for _, m := range modules {
		out = append(out, moduleStatus{ModuleHealth: m, Status: statusWord(m), Details: explain(table, m)})
	}
	return out
}

// reasonWidth is how wide the texts of reasons are where no terminal says otherwise.
const reasonWidth = 80

// printReasons prints, by module, why it has its status and what to do about it.
func (a *app) printReasons(o overview) {
	for _, m := range shownModules(o.Modules) {
		if m.Enabled || len(m.Details) > 1 { // of a disabled one, what is still active
			a.printDetails(m.Name, m.Host, m.Details)
		}
	}
	for _, s := range o.Silent {
		a.printDetails(s, "", []explained{{Reason: event.Reason{Text: "is on the bus but does not answer"}, Advice: "look into its log; restart it"}})
	}
	if o.Bus != "" {
		noLeader := event.Reason{Text: "streams do not answer: " + o.Bus}
		advice, _ := operationsAlarms().find("bus", noLeader)
		a.printDetails("bus", "", []explained{{Reason: noLeader, Advice: advice}})
	}
}

// printDetails prints the reasons of one module.
func (a *app) printDetails(module, host string, details []explained) {
	if len(details) == 0 {
		return
	}
	width := cmp.Or(terminalWidth(a.out.w), reasonWidth)
	if host != "" {
		module += " on " + host
	}
	a.printf("\n%s", cell(module, width))
	for _, d := range details {
		text := clean(d.Text)
		if !d.Since.IsZero() {
			text = "since " + a.time(d.Since) + ": " + text
		}
		a.printf("  %s", strings.Join(wrap(text, max(minWrap, width-2)), "\n  "))
		if d.Advice != "" {
			a.printf("    do: %s", strings.Join(wrap(clean(d.Advice), max(minWrap, width-8)), "\n        "))
		}
	}
}

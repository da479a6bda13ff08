package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ironpost/ironpost/internal/setting"
	"github.com/ironpost/ironpost/services/logpipeline"
	"github.com/ironpost/ironpost/services/logpipeline/parse"
)

// inputFlags are settings of an input that a command line sets.
type inputFlags struct {
	format, zone string
	proxies      []string
}

func (f *inputFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.format, "format", "", "the format of the messages, such as json; else\nit is found out")
	flags.StringVar(&f.zone, "timezone", "", "the zone of times without one, such as UTC or\nEurope/Berlin")
	flags.StringSliceVar(&f.proxies, "trusted-proxies", nil, "addresses or networks of proxies: of a list of\nforwarded addresses, the last other one counts")
	completeFlag(cmd, "format", parse.Formats()...)
}

// input returns the settings, valid ones.
func (f inputFlags) input() (logpipeline.Input, error) {
	in := logpipeline.Input{Path: "/", Format: f.format, Timezone: f.zone, TrustedProxies: f.proxies}
	if problems := setting.Problems(in.Validate()); len(problems) > 0 {
		p := problems[0]
		return in, usageError(fmt.Errorf("--%s %s", strings.ReplaceAll(strings.Split(p.Key, ".")[0], "_", "-"), p.What))
	}
	return in, nil
}

// explainedLine is the --json of logs explain, one for each line.
type explainedLine struct {
	Line string `json:"line"`
	logpipeline.Explanation
}

func (a *app) explainCommand() *cobra.Command {
	var f inputFlags
	file := ""
	cmd := &cobra.Command{
		Use:   "explain LINE",
		Short: "show how a log line is understood",
		Long: `Decodes a line as the log pipeline does, and shows each layer of it: what the
layer is, the part of the line that it took, and the fields that it set. Then
the time of the line, what rules name with their logsource, and all fields that
rules see. The line is an argument; - reads lines from standard input.

With --file, the settings of [[log_pipeline.input]] for that file hold.
--format, --timezone and --trusted-proxies take their place. Nothing is sent or
stored, and no privileges are needed.`,
		Example: `  ironpost logs explain '<38>Mar  4 05:06:07 web1 sshd[8]: Connection closed'
  ironpost logs explain --file /var/log/nginx/access.log "$(tail -1 access.log)"
  tail -5 app.log | ironpost logs explain --timezone Europe/Berlin -
  ironpost logs explain --json - <app.log | jq -r .format | sort | uniq -c`,
		Args: oneArg,
		RunE: func(cmd *cobra.Command, args []string) error { return a.explainLines(cmd.Context(), args[0], file, f) },
	}
	cmd.Flags().StringVar(&file, "file", "", "the file that the line is of")
	f.add(cmd)
	return cmd
}

func (a *app) explainLines(ctx context.Context, line, file string, f inputFlags) error {
	overriding, err := f.input()
	if err != nil {
		return err
	}
	cfg, _, err := a.loadConfig()
	if err != nil {
		return configError(err)
	}
	e, err := logpipeline.NewExplainer(cfg.LogPipeline, file, overriding)
	if err != nil {
		return configError(err)
	}
	if line != "-" {
		return a.printExplanation(line, e.Explain([]byte(line), time.Now()))
	}
	reader := bufio.NewReader(os.Stdin)
	for n := 0; ctx.Err() == nil; n++ {
		text, err := readLine(reader, cfg.LogPipeline.MaxLineBytes)
		if len(text) > 0 || err == nil {
			if n > 0 && !a.json {
				a.printf("")
			}
			if err := a.printExplanation(string(text), e.Explain(text, time.Now())); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return ctx.Err()
}

func (a *app) printExplanation(line string, e logpipeline.Explanation) error {
	if a.json {
		return a.printJSON(explainedLine{line, e})
	}
	a.printWrapped("Line        ", line)
	for i, l := range e.Layers {
		a.printf("")
		a.printWrapped(fmt.Sprintf("%2d  %-12s ", i+1, clean(l.Name)), l.Took)
		a.printFields("      ", l.Fields)
	}
	a.printf("")
	if e.Format == string(parse.Plain) {
		a.printf("Format      none is known: rules see the text alone")
	} else {
		a.printf("Format      %s", clean(e.Format))
	}
	a.printWrapped("Time        ", a.time(e.Time)+", from the "+e.TimeFrom)
	a.printWrapped("Log source  ", logsourceText(e))
	a.printf("Fields")
	a.printFields("  ", e.Fields)
	return nil
}

// logsourceText returns what a rule may name in its logsource.
func logsourceText(e logpipeline.Explanation) string {
	var out []string
	for _, part := range [][2]string{{"category", e.Logsource.Category}, {"product", e.Logsource.Product}, {"service", e.Logsource.Service}} {
		if part[1] != "" {
			out = append(out, part[0]+" "+part[1])
		}
	}
	if len(out) == 0 {
		return "-"
	}
	return strings.Join(out, ", ")
}

// printFields prints fields, sorted by name. Texts stand as they are, other values as JSON. All is cleaned: it is of the line.
func (a *app) printFields(indent string, fields map[string]any) {
	names := slices.Sorted(maps.Keys(fields))
	width := 0
	for _, name := range names {
		width = max(width, min(displayWidth(clean(name)), maxLive))
	}
	for _, name := range names {
		shown := clean(name)
		pad := strings.Repeat(" ", max(0, width-displayWidth(shown))+2)
		a.printWrapped(indent+shown+pad, fieldText(fields[name]))
	}
}

// fieldText returns the value of a field for people.
func fieldText(value any) string {
	if text, ok := value.(string); ok {
		return text
	}
	text, err := json.Marshal(value)
	if err != nil {
		return fmt.Sprint(value)
	}
	return string(text)
}

package main

import (
	"encoding/json"
	"fmt"
	"io"
)

// output remembers the first write error, so that callers need not check every
// line; run reports it.
type output struct {
	w   io.Writer
	err error
}

// Write implements io.Writer. After an error it writes nothing more.
func (o *output) Write(p []byte) (int, error) {
	if o.err != nil {
		return 0, o.err
	}
	n, err := o.w.Write(p)
	if err != nil {
		o.err = fmt.Errorf("write output: %w", err)
	}
	return n, o.err
}

// printf prints one line of results to standard output.
func (a *app) printf(format string, args ...any) { _, _ = fmt.Fprintf(a.out, format+"\n", args...) }

// notef prints one line that is no result to standard error, with --json as JSON.
func (a *app) notef(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if a.json {
		printJSONTo(a.err, printedNote{Note: text})
		return
	}
	_, _ = fmt.Fprintln(a.err, text)
}

// printJSONTo prints v to standard error, where a write error can be told nobody.
func printJSONTo(w io.Writer, v any) {
	raw, err := json.Marshal(v)
	if line, ok := jsonLine(raw); err == nil && ok {
		_, _ = fmt.Fprintln(w, line)
	}
}

// printJSON prints v as one line of JSON, escaped for a terminal.
func (a *app) printJSON(v any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return a.printRawJSON(raw)
}

// printRawJSON prints one JSON value as one line, escaped for a terminal.
func (a *app) printRawJSON(raw []byte) error {
	line, ok := jsonLine(raw)
	if !ok {
		return fmt.Errorf("cannot print %d bytes that are not JSON", len(raw))
	}
	a.printf("%s", line)
	return a.out.err
}

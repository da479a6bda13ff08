// Package manual writes the manual page of a command from what its --help says. Only builds of packages
// and tests use it.
package manual

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Page returns the manual page of cmd in the given section, in the macros of man(7). See lists other pages, such as "ironpost(1)".
func Page(cmd *cobra.Command, section string, see []string) string {
	cmd.InitDefaultHelpFlag()
	name := Name(cmd)
	var b strings.Builder
	fmt.Fprintf(&b, ".TH %s %s \"\" Ironpost\n.SH NAME\n%s \\- %s\n", strings.ToUpper(escape(name)), section, escape(name), escape(cmd.Short))
	fmt.Fprintf(&b, ".SH SYNOPSIS\n.B %s\n", escape(cmd.UseLine()))
	b.WriteString(".SH DESCRIPTION\n" + text(cmp.Or(cmd.Long, cmd.Short+".")))
	if cmd.HasAvailableSubCommands() {
		b.WriteString(".SH COMMANDS\n")
		for _, sub := range cmd.Commands() {
			if sub.IsAvailableCommand() {
				fmt.Fprintf(&b, ".TP\n.B %s\n%s\n", escape(sub.CommandPath()), escape(sub.Short))
			}
		}
	}
	options(&b, "OPTIONS", cmd.LocalFlags())
	options(&b, "GLOBAL OPTIONS", cmd.InheritedFlags())
	if cmd.Example != "" {
		b.WriteString(".SH EXAMPLES\n" + verbatim(cmd.Example))
	}
	if len(see) > 0 {
		fmt.Fprintf(&b, ".SH SEE ALSO\n%s\n", escape(strings.Join(see, ", ")))
	}
	return b.String()
}

// Name returns the name of the page: the words of the command, joined.
func Name(cmd *cobra.Command) string { return strings.ReplaceAll(cmd.CommandPath(), " ", "-") }

// text returns paragraphs: filled, or as they are where they have columns or indents.
func text(s string) string {
	var b strings.Builder
	for n, paragraph := range strings.Split(strings.Trim(s, "\n"), "\n\n") {
		if n > 0 {
			b.WriteString(".PP\n")
		}
		if strings.Contains(paragraph, "  ") || strings.Contains(paragraph, "\t") {
			b.WriteString(verbatim(paragraph))
		} else {
			b.WriteString(escape(paragraph) + "\n")
		}
	}
	return b.String()
}

// verbatim keeps the lines of s. They fit a terminal of 80 columns, which leaves no room for the usual indent.
func verbatim(s string) string {
	return ".in 0\n.nf\n" + escape(strings.Trim(s, "\n")) + "\n.fi\n.in\n"
}

func options(b *strings.Builder, title string, flags *pflag.FlagSet) {
	if !flags.HasAvailableFlags() {
		return
	}
	b.WriteString(".SH " + title + "\n")
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Hidden {
			return
		}
		kind, usage := pflag.UnquoteUsage(f)
		names := "--" + f.Name
		if f.Shorthand != "" {
			names = "-" + f.Shorthand + ", " + names
		}
		fmt.Fprintf(b, ".TP\n.B %s\n%s\n", escape(strings.TrimSpace(names+" "+kind)), escape(usage))
	})
}

// escape returns s so that nothing in it is a request: backslashes and hyphens, which otherwise are typographic, and a
// period or quotation mark at the start of a line (groff_man(7)).
func escape(s string) string {
	s = strings.NewReplacer(`\`, `\e`, "-", `\-`, "“", `"`, "”", `"`).Replace(s)
	lines := strings.Split(s, "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'") {
			lines[i] = `\&` + line
		}
	}
	return strings.Join(lines, "\n")
}

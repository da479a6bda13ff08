package audit

import (
	"slices"
	"strconv"
	"strings"
)

const (
	// maxArguments bounds the arguments of a command line, maxCommandLine its bytes.
	maxArguments   = 1024
	maxCommandLine = 32 << 10
)

// isArgument reports whether name is that of an argument or a part of one: a0, a12, a1[0]. The length of a split one is a1_len.
func isArgument(name string) bool {
	_, _, ok := argumentIndex(name)
	return ok
}

// argumentIndex returns the number of the argument called name, and of the part of it.
func argumentIndex(name string) (argument, part int, ok bool) {
	if len(name) < 2 || name[0] != 'a' {
		return 0, 0, false
	}
	number, inBrackets, split := strings.Cut(name[1:], "[")
	argument, err := strconv.Atoi(number)
	if err != nil || argument < 0 || argument >= maxArguments {
		return 0, 0, false
	}
	if !split {
		return argument, 0, true
	}
	part, err = strconv.Atoi(strings.TrimSuffix(inBrackets, "]"))
	return argument, part, err == nil && part >= 0 && strings.HasSuffix(inBrackets, "]")
}

// Arguments returns the arguments of a program by the EXECVE records of its event, of which there are several if they are long. Parts
// of an argument are put together in the order of the records. An argument that is missing is empty.
func Arguments(records []Record) []string {
	var out []string
	size := 0
	for i := range records {
		if records[i].Type != "EXECVE" {
			continue
		}
		for _, f := range records[i].Fields {
			n, _, ok := argumentIndex(f.Name)
			if size += len(f.Value); !ok || size > maxCommandLine {
				continue
			}
			if n >= len(out) {
				out = append(out, make([]string, n+1-len(out))...)
			}
			out[n] += f.Value
		}
	}
	return slices.Clip(out)
}

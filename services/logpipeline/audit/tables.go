package audit

import (
	_ "embed" // the tables
	"strings"
	"sync"
)

// The tables have a number and a name a line: of record types (linux/audit.h, libaudit.h), and of system calls by architecture.
var (
	//go:embed tables/types.txt
	typesTable string
	//go:embed tables/x86_64.txt
	x8664Table string
	//go:embed tables/i386.txt
	i386Table string
	//go:embed tables/aarch64.txt
	aarch64Table string
	//go:embed tables/arm.txt
	armTable string
)

var (
	types         = sync.OnceValue(func() map[string]string { return readTable(typesTable) })
	architectures = map[string]architecture{
		"c000003e": {"x86_64", sync.OnceValue(func() map[string]string { return readTable(x8664Table) })},
		"40000003": {"i386", sync.OnceValue(func() map[string]string { return readTable(i386Table) })},
		"c00000b7": {"aarch64", sync.OnceValue(func() map[string]string { return readTable(aarch64Table) })},
		"40000028": {"arm", sync.OnceValue(func() map[string]string { return readTable(armTable) })},
	}
)

// architecture is a value of the field arch: AUDIT_ARCH_… of linux/audit.h.
type architecture struct {
	name  string
	calls func() map[string]string
}

func readTable(text string) map[string]string {
	out := make(map[string]string, 512)
	for line := range strings.Lines(text) {
		number, name, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		out[number] = name
	}
	return out
}

// TypeName returns the name of a record type by its number in decimal; a name is returned as it is.
func TypeName(s string) string {
	if s == "" || s[0] < '0' || s[0] > '9' {
		return s
	}
	if name, ok := types()[s]; ok {
		return name
	}
	return "UNKNOWN[" + s + "]"
}

// Syscall returns the names of the architecture and the system call of a SYSCALL record, by its fields arch and syscall; "" if unknown.
func Syscall(arch, number string) (machine, call string) {
	a, ok := architectures[strings.TrimPrefix(strings.ToLower(arch), "0x")]
	if !ok {
		return "", ""
	}
	return a.name, a.calls()[number]
}

// partTypes are the types of records that are part of an event: the kernel's about system calls, access and integrity (1300 to 1499 and
// 1800 to 1899), without those that the kernel writes by themselves.
var partTypes = sync.OnceValue(func() map[string]bool {
	out := map[string]bool{}
	for number, name := range types() {
		if strings.HasPrefix(number, "13") || strings.HasPrefix(number, "14") || strings.HasPrefix(number, "18") {
			out[name] = true
		}
	}
	return out
})

// IsOfProgram reports whether a program wrote the text of r, and the kernel only who and when: its type is one that programs with
// CAP_AUDIT_WRITE may send (linux/audit.h, 1100 to 1199 and 2100 to 2999), which root has in a container, too.
func (r *Record) IsOfProgram() bool {
	if number, ok := strings.CutPrefix(r.Type, "UNKNOWN["); ok {
		return isProgramType(number)
	}
	return programTypes()[r.Type]
}

var programTypes = sync.OnceValue(func() map[string]bool {
	out := map[string]bool{}
	for number, name := range types() {
		if isProgramType(number) {
			out[name] = true
		}
	}
	return out
})

func isProgramType(number string) bool {
	return len(number) >= 4 && (number[:2] == "11" || number[0] == '2' && number[1] >= '1')
}

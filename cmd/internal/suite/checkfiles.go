package suite

import "slices"

// CheckFiles returns what is wrong with the files that the enabled modules among modules read: rules, policies, feeds of addresses,
// exceptions. c must be valid.
func CheckFiles(c Config, modules []Module) []error {
	var out []error
	for _, s := range sections() {
		i := slices.IndexFunc(modules, func(m Module) bool { return m.of == s.Name })
		if i >= 0 && modules[i].Check != nil && s.Enabled(c) {
			out = append(out, modules[i].Check(c)...)
		}
	}
	return out
}

// SectionOf returns the name of the section of m.
func SectionOf(m Module) string {
	for _, s := range sections() {
		if s.Name == m.of {
			return s.Section
		}
	}
	return ""
}

package socketproxy

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"slices"

	"github.com/ironpost/ironpost/internal/docker"
)

// parameters are those of the query that requests may have, by the last element of their path.
var parameters = map[string][]string{
	"json":   {"all"},
	"events": {"since", "until", "filters"},
	"logs":   {"follow", "stdout", "stderr", "timestamps", "since", "tail"},
	"get":    {"names"},
}

// onlyValues are the parameters that have one permitted value.
var onlyValues = map[string]url.Values{
	"kill":    {"signal": {"SIGKILL"}},
	"restart": {"t": {"0"}},
}

// Reasons for which a request is refused.
var (
	errCall      = errors.New("this call is not allowed")
	errTarget    = errors.New("the path has escapes or names a server")
	errUpgrade   = errors.New("the connection may not be upgraded")
	errParameter = errors.New("a parameter is not allowed")
	errBody      = errors.New("the body is not allowed")
)

// compile returns the expressions of rules by method.
func compile(rules []docker.Rule) (map[string]*regexp.Regexp, error) {
	out := map[string]*regexp.Regexp{}
	for _, r := range rules {
		expression, err := regexp.Compile("^(?:" + r.Pattern + ")$")
		if err != nil {
			return nil, fmt.Errorf("rule for %s: %w", r.Method, err)
		}
		out[r.Method] = expression
	}
	return out, nil
}

// check returns why r is refused, nil if it is allowed but for its body.
func (p *Proxy) check(r *http.Request) error {
	rule := p.rules[r.Method]
	switch {
	case r.URL.IsAbs() || r.URL.Host != "" || r.URL.EscapedPath() != r.URL.Path:
		return errTarget
	case rule == nil || !rule.MatchString(r.URL.Path):
		return errCall
	case r.Header.Get("Upgrade") != "":
		return errUpgrade
	}
	return checkParameters(path.Base(r.URL.Path), r.URL.RawQuery)
}

func checkParameters(call, query string) error {
	values, err := url.ParseQuery(query)
	if err != nil {
		return errParameter
	}
	for name, v := range values {
		fixed := onlyValues[call][name]
		if len(v) != 1 || !slices.Contains(parameters[call], name) && !slices.Equal(fixed, v) {
			return errParameter
		}
	}
	for name := range onlyValues[call] { // Docker's own default may be another value
		if !values.Has(name) {
			return errParameter
		}
	}
	return nil
}

package finding

import (
	"slices"
	"strings"
)

// folderOf returns the first element of a location. Who may write there may often not write beside it.
func folderOf(location string) string {
	first, _, _ := strings.Cut(location, "/")
	return first
}

// Fair returns at most n of findings, the worst first: in turn the next of each top-level folder, so that nobody's findings are left
// out because somebody else has many.
func Fair(findings []Finding, n int) []Finding {
	if len(findings) <= n {
		return findings
	}
	count := map[string]int{}
	for _, f := range findings {
		for _, folder := range folders(f.Locations) {
			count[folder]++
		}
	}
	var order []string
	of := map[string][]Finding{}
	for _, f := range findings {
		all := folders(f.Locations)
		folder := ""
		if len(all) > 0 {
			folder = slices.MinFunc(all, func(a, b string) int { return count[a] - count[b] })
		}
		if of[folder] == nil {
			order = append(order, folder)
		}
		of[folder] = append(of[folder], f)
	}
	out := make([]Finding, 0, n)
	for turn := 0; len(out) < n; turn++ {
		for _, folder := range order {
			if turn < len(of[folder]) && len(out) < n {
				out = append(out, of[folder][turn])
			}
		}
	}
	slices.SortFunc(out, WorstFirst)
	return out
}

func folders(locations []string) []string {
	var out []string
	for _, location := range locations {
		if folder := folderOf(location); !slices.Contains(out, folder) {
			out = append(out, folder)
		}
	}
	return out
}

// fewLocations returns at most maxLocations, sorted as they are: one of each top-level folder before others.
func fewLocations(locations []string) []string {
	if len(locations) <= maxLocations {
		return locations
	}
	var out, more []string
	last := ""
	for i, location := range locations {
		if folder := folderOf(location); i == 0 || folder != last {
			out, last = append(out, location), folder
		} else if len(more) < maxLocations {
			more = append(more, location)
		}
	}
	out = append(out, more...)[:maxLocations]
	slices.Sort(out)
	return out
}

// Package finding keeps the findings of every asset over time, and decides which are new.
//
// A finding is one vulnerability of one package (by package URL) of one asset. The vulnerability is the group of advisories that
// are aliases of each other. Groups change when the database does: a finding is the same as long as its group shares a name with
// it, so an alias that is added, two groups that become one, or one that becomes two, are no news.
//
// The findings of an asset, their states and the alerts about them that the bus has not stored yet are one file, which is replaced
// as a whole. An alert is thus decided exactly when the state that it reports is; after a crash the file says what is still to be
// published, with the same ids.
package finding

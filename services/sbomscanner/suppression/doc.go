// Package suppression decides which findings are not reported: those that the ignore file names, and those that an OpenVEX
// document says the asset is not affected by or fixed for.
//
// The ignore file is written by hand and wins: every entry has a reason and an end. Of the OpenVEX statements about one
// vulnerability of one package the newest counts, whatever document it is in, so a later "affected" takes back an earlier
// "not_affected"; of two with the same time, the one of the document that is listed last.
package suppression

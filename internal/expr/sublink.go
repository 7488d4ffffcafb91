package expr

// HasSubquery says whether a clause, well formed or not, holds a subquery.
func HasSubquery(clause string) bool {
	if len(clause) > MaxSize || !validText(clause) {
		return false // refused for another reason
	}
	tokens := lex(clause)
	for i := 1; i < len(tokens); i++ {
		if tokens[i-1].is("(") && isSelectWord(tokens[i]) {
			return true
		}
	}
	return false
}

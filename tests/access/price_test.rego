package price_test

import data.price

asked(roles, act) := verdict if {
	verdict := price.verdict with input.act as act with input.roles as roles
}

test_an_admin_overrides_a_price if asked(["admin"], "override") == "allowed"

test_nobody_else_does if {
	every roles in [["customer"], ["partner"], ["customer", "partner"], []] {
		asked(roles, "override") == "not-allowed"
	}
}

test_what_is_no_act_is_refused if asked(["admin"], "give-away") == "not-allowed"

package partner_event_test

import data.partner_event

types := ["ecommerce.partner.fulfilment.reported.v1", "ecommerce.partner.stock.reported.v1"]

asked(act, roles, owner) := verdict if {
	verdict := partner_event.verdict with input.act as act with input.roles as roles with input.owner as owner
}

test_a_partner_reports_about_its_own_things if {
	every type in types {
		asked(type, ["partner"], true) == "allowed"
	}
}

test_a_partner_reports_nothing_about_another_s if {
	every type in types {
		asked(type, ["partner"], false) == "not-yours"
	}
}

test_nobody_else_reports if {
	every roles in [["customer"], ["admin"], ["admin", "customer"], []] {
		asked(types[0], roles, true) == "not-allowed"
	}
}

test_a_partner_sends_none_of_the_shop_s_events if {
	every type in ["ecommerce.order.order.paid.v1", "ecommerce.partner.report.rejected.v1", "", "ecommerce.partner"] {
		asked(type, ["partner"], true) == "not-allowed"
	}
}

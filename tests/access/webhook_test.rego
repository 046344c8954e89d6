package webhook_test

import data.webhook

asked(act, roles, owner) := verdict if {
	verdict := webhook.verdict with input.act as act with input.roles as roles with input.owner as owner
}

acts := ["create", "list", "read", "change", "send"]

test_a_partner_does_all_to_its_own if {
	every act in acts { asked(act, ["partner"], true) == "allowed" }
}

test_a_partner_does_nothing_to_another_s if {
	every act in acts { asked(act, ["partner"], false) == "not-yours" }
}

test_an_admin_does_all_to_everybody_s if {
	every act in acts { asked(act, ["admin"], false) == "allowed" }
}

test_a_customer_does_nothing if {
	every act in acts { asked(act, ["customer"], true) == "not-allowed" }
}

test_who_has_two_roles_may_what_either_may if {
	asked("change", ["admin", "partner"], false) == "allowed"
	asked("change", ["customer", "partner"], true) == "allowed"
	asked("change", ["customer", "partner"], false) == "not-yours"
}

test_no_role_and_no_known_act_are_refused if {
	asked("read", [], true) == "not-allowed"
	asked("erase", ["partner"], true) == "not-allowed"
	asked("erase", ["partner"], false) == "not-allowed"
	asked("erase", ["admin"], true) == "not-allowed"
}

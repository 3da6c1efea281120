"""The codes by which the API tells errors of one type apart: `error.details.error_code`.

Source: the errors that version 2.14 of the official Python SDK has a class for, read on 2026-11-28.
"""

from __future__ import annotations

import attrs

__all__ = ["ERROR_CODES", "ErrorCode"]


@attrs.frozen
class ErrorCode:
    """What goes with a code unless a script says otherwise. `retry_after` is in seconds, None where there is none."""

    status: int
    message: str
    retry_after: int | None = None


_BY_STATUS: dict[int, str] = {
    400: (
        "already_member approval_required available_tools_limit_exceeded bundle_attachment_not_supported "
        "bundle_on_call cannot_invite_emails_with_unverified_domains cannot_remove_last_member "
        "cannot_sign_out_primary_owner cannot_sign_out_self claude_code_key_creator_not_member "
        "claude_code_version_too_old cmek_feature_unsupported cmek_key_disabled cmek_key_network_blocked "
        "cmek_not_approved compaction_block_ambiguous compaction_block_misplaced compaction_content_mismatch "
        "compaction_incomplete_turn compaction_nothing_to_summarize compaction_signature_invalid "
        "compaction_too_many_tool_references compaction_tool_changes_mismatch email_domain_not_allowed "
        "environment_archived external_key_in_workspace_policy external_key_not_found "
        "external_key_provider_mismatch external_key_validation_failed external_key_validation_timed_out "
        "external_storage_in_use external_storage_in_workspace_policy external_storage_not_available "
        "file_not_downloadable gcp_project_not_verified grant_required human_review_not_available "
        "human_review_on_with_external_storage image_dimensions_too_large invalid_config_type_change "
        "invalid_metadata invalid_storage_arn invite_already_exists key_profile_mismatch "
        "org_api_key_limit_exceeded org_member_limit_exceeded organization_not_eligible "
        "organization_not_enrolled_in_beta organization_on_hold organization_type_not_supported "
        "parent_organization_required provider_not_allowed rbac_group_grants_owner_access "
        "rbac_group_order_limit_exceeded rbac_group_owner_access_unconfirmed region_not_supported "
        "request_body_encoding_invalid request_body_encoding_unsupported request_body_timeout scan_failed "
        "settings_document_limit_exceeded settings_history_limit_exceeded slack_channel_set_up_settings_refused "
        "storage_attach_limit_reached storage_not_approved storage_not_attachable storage_profile_mismatch "
        "storage_profile_still_required storage_quota_exceeded storage_verification_failed "
        "thread_already_continued thread_continue_in_flight thread_fingerprint_mismatch "
        "thread_unsupported_request tool_name_conflict tool_reference_unresolved transcripts_storage_required "
        "unsupported_charset unsupported_region user_profile_not_found user_profile_required "
        "workspace_api_key_limit_exceeded workspace_human_review_disabled workspace_member_limit_exceeded "
        "workspace_policy_violation"
    ),
    402: "linked_organization_billing_unavailable linked_organization_spend_limit_reached",
    403: (
        "api_key_scope_missing cannot_sign_out_managed_member cannot_sign_out_membership_admin "
        "cannot_sign_out_owner cannot_sign_out_privileged_member claude_tag_writes_not_enabled "
        "compliance_configuration_restricted environment_create_disabled environment_update_disabled "
        "organization_level_scoped_api_key_required sandbox_egress_restricted "
        "spend_limits_admin_api_writes_not_enabled user_profile_billing_not_authorized user_profile_not_billable"
    ),
    404: (
        "environment_not_found file_expired rbac_group_managed_settings_not_found rbac_group_not_found "
        "rbac_role_not_found slack_channel_set_up_environment_not_found thread_not_found"
    ),
    409: (
        "concurrent_membership_change external_key_changed gcp_project_controlled_by_another_organization "
        "plugin_name_taken scan_pending skill_name_taken skill_read_blocked_undecryptable "
        "slack_channel_set_up_settings_conflict storage_already_registered storage_attached_during_archive "
        "storage_changed_concurrently storage_in_use workspace_changed_concurrently"
    ),
    412: "heartbeat_precondition_failed",
    413: "request_body_too_large_after_decoding",
    429: "contract_spend_limit_reached enforced_spend_limit_reached ramp_limit_exceeded",
    503: (
        "authorization_check_unavailable change_outcome_unknown cmek_context_unavailable cmek_key_unreachable "
        "registration_pending workspace_created_incomplete"
    ),
    529: "compaction_unavailable",
}

# What comes of creating messages says more than its code.
_MESSAGES = {
    "contract_spend_limit_reached": "Your organization has reached the spend limit of its contract.",
    "enforced_spend_limit_reached": "Your organization has reached its enforced spend limit. Raise the limit to go on.",
    "image_dimensions_too_large": "At least one image in this request is larger than the longest side allowed.",
    "linked_organization_billing_unavailable": "The organization linked to this user profile cannot be billed.",
    "linked_organization_spend_limit_reached": "The organization linked to this user profile has reached its limit.",
    "organization_on_hold": "This organization has been disabled.",
    "ramp_limit_exceeded": "Your organization's requests become more too fast. Please ramp up your traffic gradually.",
    "request_body_encoding_invalid": "The request body could not be decoded as its Content-Encoding says.",
    "request_body_encoding_unsupported": "The Content-Encoding of this request is not supported.",
    "request_body_too_large_after_decoding": "Request exceeds the maximum size once decoded",
    "thread_already_continued": "The response `thread.previous_message_id` names has already been continued.",
    "thread_continue_in_flight": "Another request still continues the response `thread.previous_message_id` names.",
    "thread_fingerprint_mismatch": "A field differs from the value stored with the thread.",
    "thread_not_found": "No thread was found for `thread.previous_message_id`.",
    "thread_unsupported_request": "thread: not supported for this request. Send the whole conversation without it.",
    "user_profile_billing_not_authorized": "This user profile's customer has not authorized you to bill them.",
    "user_profile_not_billable": "This user profile cannot be billed.",
    "user_profile_not_found": "There is no such user profile in this organization.",
    "user_profile_required": "Name the user profile to bill in the `anthropic-user-profile-id` header.",
}

_RETRY_AFTER = {"ramp_limit_exceeded": 1, "authorization_check_unavailable": 1}

ERROR_CODES = {
    code: ErrorCode(status, _MESSAGES.get(code, f"{code.replace('_', ' ').capitalize()}."), _RETRY_AFTER.get(code))
    for status, codes in _BY_STATUS.items()
    for code in codes.split()
}

package api

import (
	cutoffv1 "cutoff/proto/cutoff/v1"
	"cutoff/server/fault"
	"cutoff/server/flow"
	"cutoff/server/operator"
)

// caller says who may call a method. The zero value is nobody, so that a
// method without a row is refused.
type caller int

const (
	nobody caller = iota
	// anyone: also without a client certificate.
	anyone
	// expiredDevice: a device, also one whose certificate's time is over.
	expiredDevice
	// liveDevice: a device with a certificate in force.
	liveDevice
	// asViewer, asOperator and asAdmin are roles; each includes those before it.
	asViewer
	asOperator
	asAdmin
)

// access lists every method of both services with who may call it.
func access() map[string]caller {
	return map[string]caller{
		cutoffv1.AgentService_Roster_FullMethodName:    anyone,
		cutoffv1.AgentService_Enroll_FullMethodName:    anyone,
		cutoffv1.AgentService_Renew_FullMethodName:     expiredDevice,
		cutoffv1.AgentService_Reconcile_FullMethodName: expiredDevice,
		cutoffv1.AgentService_Unseal_FullMethodName:    liveDevice,
		cutoffv1.AgentService_Connect_FullMethodName:   liveDevice,

		cutoffv1.AdminService_CreateToken_FullMethodName: asOperator,
		cutoffv1.AdminService_ListTokens_FullMethodName:  asOperator,
		cutoffv1.AdminService_RevokeToken_FullMethodName: asOperator,

		cutoffv1.AdminService_ListDevices_FullMethodName:     asViewer,
		cutoffv1.AdminService_GetDevice_FullMethodName:       asViewer,
		cutoffv1.AdminService_AssignDevice_FullMethodName:    asOperator,
		cutoffv1.AdminService_RetireDevice_FullMethodName:    asOperator,
		cutoffv1.AdminService_UninstallDevice_FullMethodName: asOperator,
		cutoffv1.AdminService_DecideDevice_FullMethodName:    asOperator,

		cutoffv1.AdminService_ListPeople_FullMethodName: asViewer,
		cutoffv1.AdminService_GetPerson_FullMethodName:  asViewer,
		cutoffv1.AdminService_LinkPerson_FullMethodName: asOperator,

		cutoffv1.AdminService_ListGroups_FullMethodName: asViewer,
		cutoffv1.AdminService_SetGroup_FullMethodName:   asAdmin,

		cutoffv1.AdminService_OpenCut_FullMethodName:    asOperator,
		cutoffv1.AdminService_PreviewCut_FullMethodName: asOperator,
		cutoffv1.AdminService_ListCuts_FullMethodName:   asViewer,
		cutoffv1.AdminService_GetCut_FullMethodName:     asViewer,
		cutoffv1.AdminService_WatchCut_FullMethodName:   asViewer,
		cutoffv1.AdminService_ApproveCut_FullMethodName: asOperator,
		cutoffv1.AdminService_RefuseCut_FullMethodName:  asOperator,
		cutoffv1.AdminService_LiftCut_FullMethodName:    asOperator,
		cutoffv1.AdminService_LiftByFile_FullMethodName: asOperator,

		cutoffv1.AdminService_ExtendLease_FullMethodName:  asOperator,
		cutoffv1.AdminService_ExportLeases_FullMethodName: asAdmin,

		cutoffv1.AdminService_CheckPolicy_FullMethodName: asViewer,
		cutoffv1.AdminService_ApplyPolicy_FullMethodName: asAdmin,
		cutoffv1.AdminService_GetPolicy_FullMethodName:   asViewer,

		cutoffv1.AdminService_ProposeCatalogue_FullMethodName:  asAdmin,
		cutoffv1.AdminService_ListCatalogue_FullMethodName:     asViewer,
		cutoffv1.AdminService_GetCatalogue_FullMethodName:      asViewer,
		cutoffv1.AdminService_CountCatalogue_FullMethodName:    asAdmin,
		cutoffv1.AdminService_ApproveCatalogue_FullMethodName:  asAdmin,
		cutoffv1.AdminService_PromoteCatalogue_FullMethodName:  asAdmin,
		cutoffv1.AdminService_WithdrawCatalogue_FullMethodName: asAdmin,

		cutoffv1.AdminService_AddConnector_FullMethodName:    asAdmin,
		cutoffv1.AdminService_ListConnectors_FullMethodName:  asViewer,
		cutoffv1.AdminService_TestConnector_FullMethodName:   asOperator,
		cutoffv1.AdminService_CheckConnector_FullMethodName:  asViewer,
		cutoffv1.AdminService_RemoveConnector_FullMethodName: asAdmin,

		cutoffv1.AdminService_AddCredential_FullMethodName:   asOperator,
		cutoffv1.AdminService_ListCredentials_FullMethodName: asViewer,

		cutoffv1.AdminService_GetEvidenceKey_FullMethodName: asViewer,
		cutoffv1.AdminService_ExportEvidence_FullMethodName: asViewer,
		cutoffv1.AdminService_CheckEvidence_FullMethodName:  asViewer,

		cutoffv1.AdminService_CreateUser_FullMethodName:   asAdmin,
		cutoffv1.AdminService_ListUsers_FullMethodName:    asAdmin,
		cutoffv1.AdminService_RemoveUser_FullMethodName:   asAdmin,
		cutoffv1.AdminService_CreateAPIKey_FullMethodName: asAdmin,
		cutoffv1.AdminService_ListAPIKeys_FullMethodName:  asAdmin,
		cutoffv1.AdminService_RevokeAPIKey_FullMethodName: asAdmin,
	}
}

// rank orders roles; a role nobody knows has none.
func rank(role string) caller {
	switch role {
	case operator.Viewer:
		return asViewer
	case operator.Operator:
		return asOperator
	case operator.Admin:
		return asAdmin
	default:
		return nobody
	}
}

// permit reports whether actor may call a method that needs the role need.
func permit(actor flow.Actor, need caller) error {
	if need < asViewer {
		return fault.New(fault.Denied, "this method is not for operators")
	}
	if rank(actor.Role) < need {
		return fault.New(fault.Denied, "%s has the role %q, which may not do this", actor.Name, actor.Role)
	}
	return nil
}

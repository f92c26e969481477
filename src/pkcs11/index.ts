/** Keys in PKCS#11 tokens: load a module, log in, generate, wrap, lock, destroy. */
export { loadModule } from './module.ts'
export type { LoadOptions } from './loaded-module.ts'
export { adoptGraphene } from './graphene.ts'
export type { AdoptedToken, GrapheneSession } from './graphene.ts'
export { REVERSED_KEY_SUFFIX } from './block-cipher.ts'
export { formatUri, parseUri } from './uri.ts'
export type { Pkcs11Uri, UriObjectType } from './uri.ts'
export { describeTemplate, pairTemplates, ROLE_KIND, secretTemplate } from './template.ts'
export type { TemplateAttribute, TemplateInputs, TemplateLine } from './template.ts'
export { runDoctor } from './doctor.ts'
export type { DoctorOptions } from './doctor.ts'
export { formatDoctorReport } from './doctor-format.ts'
export type * from './doctor-report.ts'
export { probeEnforcement } from './enforcement-token.ts'
export type { EnforcementRow, Severity, Verdict } from './enforcement-row.ts'
export type { KnownAnswer } from './known-answer.ts'
export type { WrapForm, WrapProbe } from './known-answer-wrap.ts'
export type {
  AttributeWaiver,
  Choice,
  Profile,
  ProfileWarning,
  RoleFit,
  RoundsChoice,
} from './profile.ts'
export type { VendorHint, VendorHints } from './profile-vendors.ts'
export type * from './types.ts'

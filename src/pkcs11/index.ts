/** Keys in PKCS#11 tokens: load a module, log in, generate, wrap, lock, destroy. */
export { loadModule } from './module.ts'
export type { LoadOptions } from './loaded-module.ts'
export { formatUri, parseUri } from './uri.ts'
export type { Pkcs11Uri, UriObjectType } from './uri.ts'
export { describeTemplate, pairTemplates, ROLE_KIND, secretTemplate } from './template.ts'
export type { TemplateAttribute, TemplateInputs, TemplateLine } from './template.ts'
export type * from './types.ts'

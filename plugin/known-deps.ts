import { depsPath, moduleState, packageKey, parseDeps } from '../go/deps';
import { type Module, type ModuleContext, versionFiles } from '../go/packages';
import type { TargetSources } from './sources';

/** What was found for each build's modules. */
const depsByContext = new WeakMap<ModuleContext, ReturnType<typeof readDeps>>();

export function knownDeps(module: Module, sources: TargetSources): ReturnType<typeof readDeps> {
  const context = sources.tree.context(module);
  if (!depsByContext.has(context)) depsByContext.set(context, readDeps(context, sources));
  return depsByContext.get(context);
}

/** The go.deps.json of a build, if it is true to the module files. Vendored code is an input itself and needs none. */
function readDeps(context: ModuleContext, { nxMajor, readText }: TargetSources) {
  const path = depsPath(context);
  // Only from there on are fields of a JSON file inputs, and does `nx affected` go by them.
  const deps = nxMajor >= 24 && context.vendorDir === undefined ? parseDeps(readText(path)) : undefined;
  if (!deps) return undefined;
  const state = moduleState(context, readText);
  return deps.moduleFiles === state.moduleFiles && deps.go === state.go
    ? { path, deps, files: new Set(versionFiles(context)) }
    : undefined;
}

/** What a go.deps.json knows has versions only: init leaves out what leads to sources without one. */
export function staysOutside(module: Module, sources: TargetSources): (importPath: string) => boolean {
  const packages = knownDeps(module, sources)?.deps.packages ?? {};
  return (importPath) => Object.hasOwn(packages, packageKey(importPath));
}

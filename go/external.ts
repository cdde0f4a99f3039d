import type { Replacement } from './modfile';
import {
  type GoTree,
  inFolder,
  type Module,
  type ModuleContext,
  type Package,
  prefixes,
  replacementsOf,
  selectedVersions,
} from './packages';

/** A third-party module as one build of the repository takes it. */
export interface ExternalModule {
  /** As imports name it: `github.com/spf13/cobra`. */
  readonly path: string;
  /** `v1.8.0`; after a replacement by another module that one's path stands in front: `github.com/fork/cobra@v1.8.1`. */
  readonly version: string;
}

/** One import of a third-party package. */
export interface ExternalEdge {
  readonly sourceFile: string;
  readonly module: ExternalModule;
}

/**
 * The third-party modules that go.mod and go.work name for a build, by path, each in the version that is selected: the
 * highest that any of the modules asks for. A tidy go.mod (Go 1.17 and later) names all that its packages need.
 * https://go.dev/ref/mod#minimal-version-selection https://go.dev/ref/mod#go-mod-file-replace
 */
export function externalModules(context: ModuleContext): ReadonlyMap<string, ExternalModule> {
  const selected = selectedVersions(context.modules);
  const replaces = replacementsOf(context, selected);
  return new Map(
    [...selected].flatMap(([path, version]) =>
      context.locals.has(path) ? [] : [[path, { path, version: replaced(path, version, replaces.get(path)?.line) }]],
    ),
  );
}

/** Every import of a third-party package by the package, tests and all platforms included. */
export function externalEdgesOf(
  tree: GoTree,
  found: Package,
  module: Module,
  modules: ReadonlyMap<string, ExternalModule>,
): ExternalEdge[] {
  const context = tree.context(module);
  return found.files.flatMap(({ name, header }) =>
    (header?.imports ?? []).flatMap(({ path }) => {
      const target = tree.resolve(path, context);
      const isVendored = target.kind === 'local' && target.module === undefined;
      if (target.kind !== 'external' && !isVendored) return [];
      const holder = prefixes(path).find((prefix) => modules.has(prefix));
      const owner = holder === undefined ? undefined : modules.get(holder);
      return owner ? [{ sourceFile: inFolder(found.dir, name), module: owner }] : [];
    }),
  );
}

function replaced(path: string, version: string, line: Replacement | undefined): string {
  if (line === undefined) return version;
  const { newPath, newVersion } = line;
  return newPath === path && newVersion !== undefined ? newVersion : [newPath, newVersion].filter(Boolean).join('@');
}

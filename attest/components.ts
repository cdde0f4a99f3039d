import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type BuildInfo, readBuildInfo } from '../go/build-info';
import { moduleCachePath } from '../go/deps';
import { readContent } from '../image/content';
import type { Layer } from '../image/image';
import { treeOfLayers } from '../image/layer-tree';
import { contentBytes } from '../image/tar';

/** A Go program in an image. */
export interface Program {
  /** Relative to the image's root. */
  readonly path: string;
  readonly info: BuildInfo;
}

/** A module, or the standard library, of some program of an image. */
export interface Component {
  /** Module path; `stdlib` for the standard library. */
  readonly name: string;
  /** `v1.2.3`; of the standard library `1.26.0`. */
  readonly version: string;
  /** https://github.com/package-url/purl-spec/blob/main/types-doc/golang-definition.md */
  readonly purl: string;
  readonly sum: string | undefined;
  /** SPDX identifier; undefined where nobody tells. */
  readonly licence: string | undefined;
}

/** Nothing smaller is a Go program. */
const smallestBytes = 64 * 1024;

/** The Go programs among an image's files. @throws ARCHIVE_INVALID */
export function findPrograms(layers: readonly Layer[]): readonly Program[] {
  const programs: Program[] = [];
  for (const { path, node } of treeOfLayers(layers).files()) {
    if ((node.mode & 0o111) === 0 || contentBytes(node.content) < smallestBytes) continue;
    if (Buffer.from(readContent(node.content, 4)).toString('latin1') !== '\x7fELF') continue;
    const info = readBuildInfo(readContent(node.content));
    if (info) programs.push({ path, info });
  }
  return programs;
}

/**
 * What the programs are made of, each once, by name and version.
 * @param moduleCache folder GOMODCACHE, for licences
 */
export function componentsOf(programs: readonly Program[], moduleCache: string | undefined): readonly Component[] {
  const components = new Map<string, Component>();
  for (const { info } of programs) {
    const goVersion = info.goVersion.replace(/^go/, '').split(' ')[0]!;
    components.set(`stdlib ${goVersion}`, {
      name: 'stdlib',
      version: goVersion,
      purl: `pkg:golang/stdlib@${goVersion}`,
      sum: undefined,
      licence: 'BSD-3-Clause',
    });
    for (const { path, version, sum } of [...(info.main ? [info.main] : []), ...info.modules]) {
      const key = `${path} ${version}`;
      if (components.has(key)) continue;
      const isReleased = version !== '' && version !== '(devel)';
      components.set(key, {
        name: path,
        version,
        purl: `pkg:golang/${path.split('/').map(encodeURIComponent).join('/')}${isReleased ? `@${encodeURIComponent(version)}` : ''}`,
        sum,
        licence: moduleCache && isReleased ? findLicence(moduleCache, path, version) : undefined,
      });
    }
  }
  return [...components].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, component]) => component);
}

function findLicence(moduleCache: string, path: string, version: string): string | undefined {
  const folder = join(moduleCache, moduleCachePath(`${path}@${version}`));
  let names: string[];
  try {
    names = readdirSync(folder);
  } catch {
    return undefined;
  }
  const file = names.filter((name) => /^(licen[cs]e|copying|unlicense)(\.(md|txt))?$/i.test(name)).sort()[0];
  return file === undefined ? undefined : licenceOf(readFileSync(join(folder, file), 'utf8'));
}

/** Sentences that only this licence's text has, or its heading: the first that fits. */
const licences: readonly (readonly [id: string, pattern: RegExp])[] = [
  ['AGPL-3.0', /gnu affero general public license version 3/],
  ['LGPL-3.0', /gnu lesser general public license version 3/],
  ['LGPL-2.1', /gnu lesser general public license version 2\.1/],
  ['GPL-3.0', /gnu general public license version 3/],
  ['GPL-2.0', /gnu general public license version 2/],
  ['MPL-2.0', /mozilla public license,? version 2\.0/],
  ['Apache-2.0', /apache license version 2\.0/],
  ['EPL-2.0', /eclipse public license - v 2\.0/],
  ['BSD-3-Clause', /redistribution and use in source and binary forms.* neither the name/],
  ['BSD-2-Clause', /redistribution and use in source and binary forms/],
  ['ISC', /permission to use, copy, modify, and(?:\/or)? distribute this software for any purpose/],
  ['MIT', /permission is hereby granted, free of charge, to any person obtaining a copy/],
  ['Unlicense', /this is free and unencumbered software released into the public domain/],
  ['CC0-1.0', /cc0 1\.0 universal/],
];

/** The SPDX identifier of a licence's text; undefined for one that is not among the usual. https://spdx.org/licenses/ */
export function licenceOf(text: string): string | undefined {
  const plain = text.toLowerCase().replace(/[#*_="“”\s]+/g, ' ');
  return licences.find(([, pattern]) => pattern.test(plain))?.[0];
}

/**
 * The arguments that go to the program. Nx hands over the whole command line behind the target, alike for what stood before
 * and behind `--`, and has read it into options as well: what names one of `options` (with the value behind it) was meant
 * for this target, everything else is the program's.
 * @param unparsed as typed: `['--memory=64m', '--verbose', 'file']`
 * @param options the names in schema.json: `memory`, `readOnly` (also matched as `read-only`), `env` (also as `env.NAME`)
 */
export function programArguments(unparsed: readonly string[], options: ReadonlySet<string>): readonly string[] {
  const program: string[] = [];
  for (let index = 0; index < unparsed.length; index++) {
    const argument = unparsed[index]!;
    const [, negation, name, value] = /^--(no-)?([A-Za-z][\w-]*)(?:\.[^=]*)?(=.*)?$/s.exec(argument) ?? [];
    if (name === undefined || !options.has(camelCase(name))) {
      program.push(argument);
      continue;
    }
    // As yargs reads it: the next word is the value, unless it is an option itself.
    const next = unparsed[index + 1];
    if (!negation && value === undefined && next !== undefined && !next.startsWith('-')) index++;
  }
  return program;
}

function camelCase(name: string): string {
  return name.replace(/-(\w)/g, (_, letter: string) => letter.toUpperCase());
}

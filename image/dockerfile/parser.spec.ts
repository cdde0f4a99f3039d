import { parseDockerfile } from './parser';

const parse = (text: string) => parseDockerfile(text, 'apps/hello/Dockerfile');

// Expectations follow the Dockerfile reference: https://docs.docker.com/reference/dockerfile/
describe('parseDockerfile', () => {
  it('knows the lines of each instruction through comments, blank lines and continuations', () => {
    const { instructions } = parse('# c\n\nFROM scratch\n\nCOPY a \\\n# inside\n\n  b \\\n  /x/\nCMD ["x"]');
    expect(instructions.map(({ keyword, line, endLine }) => ({ keyword, line, endLine }))).toEqual([
      { keyword: 'FROM', line: 3, endLine: 3 },
      { keyword: 'COPY', line: 5, endLine: 9 },
      { keyword: 'CMD', line: 10, endLine: 10 },
    ]);
    expect(instructions[1]!.args).toEqual(['a', 'b', '/x/']);
  });

  it('takes parser directives only before everything else', () => {
    const first = parse('#syntax=docker/dockerfile:1\n# Escape = `\nFROM a\n');
    expect(first.escape).toBe('`');
    expect(first.directives.get('syntax')).toEqual({ value: 'docker/dockerfile:1', line: 1 });
    expect(parse('# comment\n# escape=`\nFROM a\n').escape).toBe('\\');
    expect(parse('\n# escape=`\nFROM a\n').escape).toBe('\\');
    expect(() => parse('# escape=`\n# escape=`\nFROM a\n')).toThrow('apps/hello/Dockerfile:2: only one "escape"');
  });

  it('tells flags from words, with quotes and a closing --', () => {
    const [copy, add] = parse('COPY --from=a --chown="1 2":3 -- --b /c\nADD --b\\=c d e\n').instructions;
    expect(copy).toMatchObject({ flags: ['--from=a', '--chown=1 2:3'], args: ['--b', '/c'] });
    expect(add).toMatchObject({ flags: ['--b=c'], args: ['d', 'e'] });
  });

  it('tells the exec form from a shell form that merely starts with a bracket', () => {
    const [exec, shell, health] = parse(
      'CMD ["a", "b"]\nCMD [ -f x ]\nHEALTHCHECK --retries=1 cmd ["x"]\n',
    ).instructions;
    expect(exec).toMatchObject({ json: true, args: ['a', 'b'] });
    expect(shell).toMatchObject({ json: false, args: ['[ -f x ]'] });
    expect(health).toMatchObject({ json: true, args: ['cmd', 'x'], flags: ['--retries=1'] });
  });

  it('splits ENV and LABEL, the old form too', () => {
    const [pairs, old] = parse('ENV a="b c" d=\'e f\' g=h\\ i\nENV name some  text = x\n').instructions;
    expect(pairs!.args).toEqual(['a', '"b c"', '=', 'd', "'e f'", '=', 'g', 'h\\ i', '=']);
    expect(old!.args).toEqual(['name', 'some  text = x', '']);
  });

  it('reads heredocs: several, quoted, chomped, in ONBUILD, and not in the exec form', () => {
    const text = 'COPY <<A <<-"B" /x/\n a $v\nA\n\t\tb\n\tB\nONBUILD COPY <<E /\ne\nE\nCMD ["<<X"]\nRUN echo "<<X"\n';
    const { instructions } = parse(text);
    expect(instructions.map((instruction) => instruction.keyword)).toEqual(['COPY', 'ONBUILD', 'CMD', 'RUN']);
    expect(instructions[0]!.heredocs).toEqual([
      { name: 'A', expand: true, chomp: false, content: ' a $v\n' },
      { name: 'B', expand: false, chomp: true, content: '\t\tb\n' },
    ]);
    expect(instructions[0]!.endLine).toBe(5);
    expect(instructions[1]!.heredocs[0]!.content).toBe('e\n');
    expect(() => parse('FROM x\nCOPY <<EOF /\nno end\n')).toThrow('apps/hello/Dockerfile:2: the heredoc <<EOF');
  });

  it('reads Windows line ends and a byte order mark', () => {
    expect(parse('\ufeffFROM scratch\r\nCOPY a \\\r\n  /b\r\n').instructions.map(({ args }) => args)).toEqual([
      ['scratch'],
      ['a', '/b'],
    ]);
  });

  it.each(['', '\n', '# only\n# comments\n', '   \n\t\n'])('refuses a file without instructions: %j', (text) => {
    expect(() => parse(text)).toThrow('apps/hello/Dockerfile: the Dockerfile is empty');
  });
});

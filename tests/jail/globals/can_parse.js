return [`${new URLSearchParams({ k: `!'()~*-._ \ud800` })}`, URL.canParse('x'), URL.parse('x'), URL.canParse('x', 'https://a.example')];
